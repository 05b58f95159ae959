# Who may do what, made from variables alone: no resource is named, so `terraform console` shows it without credentials.
locals {
  # what the API shows, too; work/, kept/ and runs/ are the runner's
  published = ["catalog/*", "products/*", "pages/*", "pictures/*", "index.html"]

  public_policy = {
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AnybodyReadsWhatIsPublished"
      Effect    = "Allow"
      Principal = "*"
      Action    = ["s3:GetObject"]
      Resource  = [for path in local.published : "arn:aws:s3:::${var.bucket}/${path}"]
    }]
  }

  read_archive = var.archive_bucket == "" ? [] : [
    {
      Sid      = "ListArchive"
      Effect   = "Allow"
      Action   = ["s3:ListBucket"]
      Resource = ["arn:aws:s3:::${var.archive_bucket}"]
    },
    {
      Sid      = "ReadArchive"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = ["arn:aws:s3:::${var.archive_bucket}/*"]
    },
  ]

  # refresh, scheduler's clients and workers: no versions, no bucket settings, nothing but this bucket is written
  runner_policy = {
    Version = "2012-10-17"
    Statement = concat(local.read_archive, [
      {
        Sid      = "ListProducts"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = ["arn:aws:s3:::${var.bucket}"]
      },
      {
        Sid      = "WriteProducts"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
        Resource = ["arn:aws:s3:::${var.bucket}/*"]
      },
    ])
  }

  # the API
  reader_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ListProducts"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = ["arn:aws:s3:::${var.bucket}"]
      },
      {
        Sid      = "ReadPublished"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = [for path in local.published : "arn:aws:s3:::${var.bucket}/${path}"]
      },
    ]
  }

  # a browser has to see these for ranges and caching
  cors_rule = {
    allowed_methods = ["GET", "HEAD"]
    allowed_headers = ["Range", "If-Match", "If-None-Match"]
    expose_headers  = ["Accept-Ranges", "Content-Length", "Content-Range", "ETag"]
    max_age_seconds = 86400
  }
}
