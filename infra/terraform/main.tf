# The bucket that products are published in, and what the runner and the API may do with it. When a refresh runs is
# the CronJob's (or cron's, or Slurm's) to say: EventBridge would need a second thing to start containers with, and
# it doesn't keep a run from starting while the last one is under way.
provider "aws" {
  region = var.region
}

resource "aws_s3_bucket" "products" {
  bucket = var.bucket
}

# A product is never changed, but catalogs and the index are replaced: what was there before can be brought back.
resource "aws_s3_bucket_versioning" "products" {
  bucket = aws_s3_bucket.products.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "products" {
  bucket = aws_s3_bucket.products.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "products" {
  bucket     = aws_s3_bucket.products.id
  depends_on = [aws_s3_bucket_versioning.products]

  rule {
    id     = "work"
    status = "Enabled"

    filter {
      prefix = "work/"
    }

    expiration {
      days = var.work_days
    }
  }

  rule {
    id     = "noncurrent"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }
}

resource "aws_s3_bucket_public_access_block" "products" {
  bucket                  = aws_s3_bucket.products.id
  block_public_acls       = true
  ignore_public_acls      = true
  block_public_policy     = !var.public
  restrict_public_buckets = !var.public
}

resource "aws_s3_bucket_policy" "public" {
  count      = var.public ? 1 : 0
  bucket     = aws_s3_bucket.products.id
  policy     = jsonencode(local.public_policy)
  depends_on = [aws_s3_bucket_public_access_block.products]
}

resource "aws_s3_bucket_cors_configuration" "products" {
  bucket = aws_s3_bucket.products.id

  cors_rule {
    allowed_methods = local.cors_rule.allowed_methods
    allowed_headers = local.cors_rule.allowed_headers
    expose_headers  = local.cors_rule.expose_headers
    max_age_seconds = local.cors_rule.max_age_seconds
    allowed_origins = var.origins
  }
}

resource "aws_iam_policy" "runner" {
  name   = "${var.bucket}-runner"
  policy = jsonencode(local.runner_policy)
}

resource "aws_iam_policy" "reader" {
  name   = "${var.bucket}-reader"
  policy = jsonencode(local.reader_policy)
}
