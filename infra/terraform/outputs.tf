output "products" {
  description = "What --out and `out` of refresh.json are to be."
  value       = "s3://${aws_s3_bucket.products.id}"
}

output "runner_policy" {
  description = "To be attached to the role of refresh and workers."
  value       = aws_iam_policy.runner.arn
}

output "reader_policy" {
  description = "To be attached to the role of the API."
  value       = aws_iam_policy.reader.arn
}
