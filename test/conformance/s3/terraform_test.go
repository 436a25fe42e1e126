package s3_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/awancloud/awan/test/conformance/cloudtest"
	"github.com/awancloud/awan/test/conformance/terraform"
)

const obsPlan = `
terraform {
  required_providers {
    huaweicloud = { source = "huaweicloud/huaweicloud" }
  }
}
provider "huaweicloud" {
  region      = "awan-1"
  access_key  = "%[1]s"
  secret_key  = "%[2]s"
  auth_url    = "%[3]s/iam/v3"
  cloud       = "awan.test"
  max_retries = 1
  endpoints = {
    iam = "%[3]s/iam/"
    obs = "https://obs.awan-1.awan.test"
  }
}
resource "huaweicloud_obs_bucket" "logs" {
  bucket        = "tf-logs"
  acl           = "log-delivery-write"
  force_destroy = true
}
resource "huaweicloud_obs_bucket" "main" {
  bucket        = "tf-main"
  storage_class = "WARM"
  versioning    = true
  quota         = %[4]d
  encryption    = true
  sse_algorithm = "AES256"
  force_destroy = true
  tags = {
    team = "%[5]s"
  }
  logging {
    target_bucket = huaweicloud_obs_bucket.logs.id
    target_prefix = "log/"
    agency        = "obs-logs"
  }
  lifecycle_rule {
    name    = "old"
    prefix  = "tmp/"
    enabled = true
    expiration {
      days = 30
    }
    transition {
      days          = 10
      storage_class = "COLD"
    }
    noncurrent_version_expiration {
      days = 7
    }
    abort_incomplete_multipart_upload {
      days = 3
    }
  }
  website {
    index_document = "index.html"
    error_document = "error.html"
  }
  cors_rule {
    allowed_origins = ["https://www.example.org"]
    allowed_methods = ["GET", "PUT"]
    allowed_headers = ["*"]
    expose_headers  = ["ETag"]
    max_age_seconds = 100
  }
}
resource "huaweicloud_obs_bucket_object" "page" {
  bucket       = huaweicloud_obs_bucket.logs.bucket # force_destroy does not delete old versions
  key          = "index.html"
  content      = "<h1>%[5]s</h1>"
  content_type = "text/html"
  tags = {
    page = "%[5]s"
  }
}
resource "huaweicloud_obs_bucket_policy" "s3" {
  bucket        = huaweicloud_obs_bucket.main.bucket
  policy_format = "s3"
  policy = jsonencode({
    Version = "2008-10-17"
    Id      = "read"
    Statement = [{
      Sid       = "Read-%[5]s"
      Effect    = "Allow"
      Principal = { AWS = ["arn:aws:iam::%[6]s:root"] }
      Action    = ["s3:GetObject"]
      Resource  = ["arn:aws:s3:::tf-main/*"]
    }]
  })
}
resource "huaweicloud_obs_bucket_policy" "obs" {
  bucket = huaweicloud_obs_bucket.logs.bucket
  policy = jsonencode({
    Statement = [{
      Sid       = "List"
      Effect    = "Allow"
      Principal = { ID = ["domain/%[6]s:user/*"] }
      Action    = ["ListBucket"]
      Resource  = ["tf-logs"]
    }]
  })
}
data "huaweicloud_obs_buckets" "all" {
  bucket     = "tf-main"
  depends_on = [huaweicloud_obs_bucket.main]
}
data "huaweicloud_obs_bucket_object" "page" {
  bucket     = huaweicloud_obs_bucket.logs.bucket
  key        = huaweicloud_obs_bucket_object.page.key
}
output "page" {
  value = data.huaweicloud_obs_bucket_object.page.body
}
output "bucket" {
  value = data.huaweicloud_obs_buckets.all.buckets[0].bucket
}
`

// TestTerraform applies, plans nothing more, changes and destroys buckets, objects and policies.
func TestTerraform(t *testing.T) {
	terraform.Needed(t)
	c := cloudtest.Start(t)
	tf := terraform.New(t, c.CAFile)
	tf.Set("HTTPS_PROXY=http://"+c.Addr, "NO_PROXY=127.0.0.1") // the cloud is the way to its own names
	write := func(quota int, word string) {
		tf.Write("main.tf", fmt.Sprintf(obsPlan, c.Admin.AccessKey, c.Admin.SecretKey, c.URL, quota, word, c.Admin.DomainID))
	}
	write(1000000, "first")
	if out := tf.Run(0, "apply", "-auto-approve", "-input=false"); !strings.Contains(out, "Resources: 5 added") || !strings.Contains(out, "<h1>first</h1>") {
		t.Errorf("apply: %s", out)
	}
	tf.Run(0, "plan", "-detailed-exitcode", "-input=false")
	write(2000000, "second")
	if out := tf.Run(0, "apply", "-auto-approve", "-input=false"); !strings.Contains(out, "3 changed, 0 destroyed") {
		t.Errorf("change: %s", out)
	}
	tf.Run(0, "plan", "-detailed-exitcode", "-input=false")
	if out := tf.Run(0, "destroy", "-auto-approve", "-input=false"); !strings.Contains(out, "5 destroyed") {
		t.Errorf("destroy: %s", out)
	}
}
