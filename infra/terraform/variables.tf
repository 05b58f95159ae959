variable "bucket" {
  description = "Name of the bucket for the published products; made here."
  type        = string
}

variable "archive_bucket" {
  description = "Name of the bucket that holds the Sentinel-1 products and elevation models; only read. Empty: none of yours."
  type        = string
  default     = ""
}

variable "region" {
  description = "Where the bucket is; best where the archive is."
  type        = string
  default     = "eu-central-1"
}

variable "public" {
  description = "May anybody read what is published (catalog, products, pages, pictures)?"
  type        = bool
  default     = false
}

variable "origins" {
  description = "Web origins whose pages may read the bucket, such as https://maps.example.org; * for every one."
  type        = list(string)
  default     = ["*"]
}

variable "work_days" {
  description = "Days after which what an interrupted run has left under work/ is deleted; a run ends by itself in one."
  type        = number
  default     = 7

  validation {
    condition     = var.work_days >= 2
    error_message = "work_days must be at least 2, or a run that lasts longer loses its unfinished cubes."
  }
}

variable "noncurrent_days" {
  description = "Days for which overwritten and deleted objects can be brought back."
  type        = number
  default     = 30
}
