package s3_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// TestAWS is a bucket's life as Amazon's SDK for Go lives it, with its default checksums (a CRC32 in a trailer).
func TestAWS(t *testing.T) {
	c := cloudtest.Start(t)
	cl, ctx, name := awsClient(t, c), t.Context(), aws.String("photos")
	must[*s3.CreateBucketOutput](t)(cl.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: name}))
	must[*s3.HeadBucketOutput](t)(cl.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: name}))
	if l := must[*s3.ListBucketsOutput](t)(cl.ListBuckets(ctx, nil)); len(l.Buckets) != 1 || *l.Buckets[0].Name != "photos" {
		t.Errorf("buckets: %+v", l.Buckets)
	}
	body := []byte("meow, with ümläuts & <xml>")
	key := aws.String("cats/tom & jerry+ü.jpg")
	put := must[*s3.PutObjectOutput](t)(cl.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: key, Body: bytes.NewReader(body), ContentType: aws.String("image/jpeg"),
		Metadata: map[string]string{"who": "tom"}, Tagging: aws.String("kind=cat"), CacheControl: aws.String("no-store")}))
	if aws.ToString(put.ChecksumCRC32) == "" || put.ServerSideEncryption != types.ServerSideEncryptionAes256 {
		t.Errorf("put: %+v", put)
	}
	get := must[*s3.GetObjectOutput](t)(cl.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key, ChecksumMode: types.ChecksumModeEnabled}))
	if b := must[[]byte](t)(io.ReadAll(get.Body)); !bytes.Equal(b, body) || aws.ToString(get.ContentType) != "image/jpeg" || get.Metadata["who"] != "tom" ||
		aws.ToInt32(get.TagCount) != 1 || aws.ToString(get.ChecksumCRC32) != aws.ToString(put.ChecksumCRC32) {
		t.Errorf("get: %q %+v", b, get)
	}
	part := must[*s3.GetObjectOutput](t)(cl.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key, Range: aws.String("bytes=6-9")}))
	if b := must[[]byte](t)(io.ReadAll(part.Body)); string(b) != string(body[6:10]) || aws.ToString(part.ContentRange) != fmt.Sprintf("bytes 6-9/%d", len(body)) {
		t.Errorf("range: %q %s", b, aws.ToString(part.ContentRange))
	}
	if _, err := cl.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: aws.String("none")}); code(err) != "NoSuchKey" {
		t.Errorf("missing: %v", err)
	}
	if _, err := cl.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: key, Body: strings.NewReader("x"), IfNoneMatch: aws.String("*")}); code(err) != "PreconditionFailed" {
		t.Errorf("write of what is there: %v", err)
	}
	if _, err := cl.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key, Range: aws.String("bytes=1000-")}); code(err) != "InvalidRange" {
		t.Errorf("range behind the end: %v", err)
	}
	cp := must[*s3.CopyObjectOutput](t)(cl.CopyObject(ctx, &s3.CopyObjectInput{Bucket: name, Key: aws.String("copy"), CopySource: aws.String("photos/cats/tom%20%26%20jerry%2B%C3%BC.jpg")}))
	if aws.ToString(cp.CopyObjectResult.ETag) != aws.ToString(put.ETag) {
		t.Errorf("copy: %+v, put %s", cp.CopyObjectResult, aws.ToString(put.ETag))
	}
	attrs := must[*s3.GetObjectAttributesOutput](t)(cl.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: name, Key: key,
		ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesObjectSize, types.ObjectAttributesChecksum}}))
	if aws.ToInt64(attrs.ObjectSize) != int64(len(body)) || attrs.Checksum == nil || aws.ToString(attrs.Checksum.ChecksumCRC32) == "" {
		t.Errorf("attributes: %+v", attrs)
	}
	presigned(t, c, cl, key, body)
	many(t, cl)
	if _, err := cl.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: name}); code(err) != "BucketNotEmpty" {
		t.Errorf("delete of a full bucket: %v", err)
	}
	for p := s3.NewListObjectsV2Paginator(cl, &s3.ListObjectsV2Input{Bucket: name, EncodingType: types.EncodingTypeUrl}); p.HasMorePages(); {
		page := must[*s3.ListObjectsV2Output](t)(p.NextPage(ctx))
		var ids []types.ObjectIdentifier
		for _, o := range page.Contents {
			if strings.Contains(*o.Key, "%01") { // the SDK's XML cannot hold it
				must[*s3.DeleteObjectOutput](t)(cl.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: name, Key: aws.String(must[string](t)(unescape(*o.Key)))}))
				continue
			}
			ids = append(ids, types.ObjectIdentifier{Key: aws.String(must[string](t)(unescape(*o.Key)))})
		}
		d := must[*s3.DeleteObjectsOutput](t)(cl.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: name, Delete: &types.Delete{Objects: ids}}))
		if len(d.Errors) > 0 || len(d.Deleted) != len(ids) {
			t.Errorf("delete of many: %+v", d)
		}
	}
	must[*s3.DeleteBucketOutput](t)(cl.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: name}))
	if _, err := cl.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: name}); code(err) != "NotFound" {
		t.Errorf("head of what was deleted: %v", err)
	}
}

// presigned: a link works for who has no key, for what it was made for, and until it ends.
func presigned(t *testing.T, c *cloudtest.Cloud, cl *s3.Client, key *string, body []byte) {
	t.Helper()
	pc, hc := s3.NewPresignClient(cl), &http.Client{Transport: transport(t, c)}
	link, err := pc.PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("photos"), Key: key, ResponseContentType: aws.String("text/plain")}, s3.WithPresignExpires(time.Minute))
	ok(t, err)
	get := func(target string) (int, string, http.Header) {
		res := must[*http.Response](t)(hc.Get(target))
		defer res.Body.Close()
		return res.StatusCode, string(must[[]byte](t)(io.ReadAll(res.Body))), res.Header
	}
	if status, got, h := get(link.URL); status != 200 || got != string(body) || h.Get("Content-Type") != "text/plain" {
		t.Errorf("link: %d %s", status, got)
	}
	if status, got, _ := get(strings.Replace(link.URL, "jerry", "jerri", 1)); status != 403 || !strings.Contains(got, "SignatureDoesNotMatch") {
		t.Errorf("a link for another object: %d %s", status, got)
	}
	c.Clock.Add(2 * time.Minute)
	if status, got, _ := get(link.URL); status != 403 || !strings.Contains(got, "expired") {
		t.Errorf("a link that ended: %d %s", status, got)
	}
	c.Clock.Add(-2 * time.Minute)
	up, err := pc.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String("by-link")})
	ok(t, err)
	for header, want := range map[string]int{"": 200, "X-Amz-Acl": 403} {
		r := must[*http.Request](t)(http.NewRequest("PUT", up.URL, strings.NewReader("uploaded")))
		if header != "" {
			r.Header.Set(header, "public-read")
		}
		res := must[*http.Response](t)(hc.Do(r))
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("upload by link with %q: %s", header, res.Status)
		}
	}
	if status, got, _ := get("https://photos.s3.awan-1.awan.test/by-link"); status != 403 || !strings.Contains(got, "<Code>AccessDenied</Code>") {
		t.Errorf("without a link: %d %s", status, got)
	}
}

// many: lists in pages, by folder, with names that XML cannot hold.
func many(t *testing.T, cl *s3.Client) {
	t.Helper()
	ctx, name := t.Context(), aws.String("photos")
	var want []string
	for i := range 23 {
		key := fmt.Sprintf("list/%02d/é &%%\x01+ %d", i%5, i)
		want = append(want, key)
		must[*s3.PutObjectOutput](t)(cl.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: &key, Body: strings.NewReader(key)}))
	}
	slices.Sort(want)
	var got []string
	in := &s3.ListObjectsV2Input{Bucket: name, Prefix: aws.String("list/"), MaxKeys: aws.Int32(4), EncodingType: types.EncodingTypeUrl}
	for {
		page := must[*s3.ListObjectsV2Output](t)(cl.ListObjectsV2(ctx, in))
		for _, o := range page.Contents {
			got = append(got, must[string](t)(unescape(*o.Key)))
		}
		if in.ContinuationToken = page.NextContinuationToken; !aws.ToBool(page.IsTruncated) {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	var folders []string
	marker := aws.String("")
	for {
		page := must[*s3.ListObjectsOutput](t)(cl.ListObjects(ctx, &s3.ListObjectsInput{Bucket: name, Prefix: aws.String("list/"), Delimiter: aws.String("/"), MaxKeys: aws.Int32(2), Marker: marker}))
		for _, p := range page.CommonPrefixes {
			folders = append(folders, *p.Prefix)
		}
		if marker = page.NextMarker; !aws.ToBool(page.IsTruncated) {
			break
		}
	}
	if fmt.Sprint(folders) != "[list/00/ list/01/ list/02/ list/03/ list/04/]" {
		t.Errorf("folders %q", folders)
	}
}

// TestAWSParts uploads in parts, with composite and whole checksums, and reads parts back.
func TestAWSParts(t *testing.T) {
	c := cloudtest.Start(t)
	cl, ctx, name := awsClient(t, c), t.Context(), aws.String("parts")
	must[*s3.CreateBucketOutput](t)(cl.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: name}))
	data := make([]byte, 5<<20+777)
	_, err := rand.Read(data)
	ok(t, err)
	for _, tc := range []struct {
		algorithm types.ChecksumAlgorithm
		kind      types.ChecksumType
	}{{types.ChecksumAlgorithmCrc32, types.ChecksumTypeFullObject}, {types.ChecksumAlgorithmSha256, types.ChecksumTypeComposite}, {types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject}} {
		key := aws.String(string(tc.algorithm))
		up := must[*s3.CreateMultipartUploadOutput](t)(cl.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: name, Key: key, ChecksumAlgorithm: tc.algorithm, ChecksumType: tc.kind}))
		var parts []types.CompletedPart
		for i, chunk := range [][]byte{data[:5<<20], data[5<<20:]} {
			n := aws.Int32(int32(i + 1))
			p := must[*s3.UploadPartOutput](t)(cl.UploadPart(ctx, &s3.UploadPartInput{Bucket: name, Key: key, UploadId: up.UploadId, PartNumber: n, Body: bytes.NewReader(chunk), ChecksumAlgorithm: tc.algorithm}))
			parts = append(parts, types.CompletedPart{PartNumber: n, ETag: p.ETag, ChecksumCRC32: p.ChecksumCRC32, ChecksumSHA256: p.ChecksumSHA256, ChecksumCRC64NVME: p.ChecksumCRC64NVME})
		}
		l := must[*s3.ListPartsOutput](t)(cl.ListParts(ctx, &s3.ListPartsInput{Bucket: name, Key: key, UploadId: up.UploadId}))
		if len(l.Parts) != 2 || aws.ToInt64(l.Parts[1].Size) != 777 || l.ChecksumAlgorithm != tc.algorithm {
			t.Errorf("%s: parts %+v", tc.algorithm, l)
		}
		if u := must[*s3.ListMultipartUploadsOutput](t)(cl.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: name})); len(u.Uploads) != 1 || *u.Uploads[0].Key != *key {
			t.Errorf("uploads %+v", u.Uploads)
		}
		done := must[*s3.CompleteMultipartUploadOutput](t)(cl.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: name, Key: key, UploadId: up.UploadId,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}, ChecksumType: tc.kind}))
		if done.ChecksumType != tc.kind || !strings.HasSuffix(aws.ToString(done.ETag), `-2"`) {
			t.Errorf("%s: %+v", tc.algorithm, done)
		}
		get := must[*s3.GetObjectOutput](t)(cl.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key}))
		if b := must[[]byte](t)(io.ReadAll(get.Body)); !bytes.Equal(b, data) {
			t.Errorf("%s: other bytes came back", tc.algorithm)
		}
		second := must[*s3.GetObjectOutput](t)(cl.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key, PartNumber: aws.Int32(2)}))
		if b := must[[]byte](t)(io.ReadAll(second.Body)); !bytes.Equal(b, data[5<<20:]) || aws.ToInt32(second.PartsCount) != 2 {
			t.Errorf("%s: part 2 has %d bytes of %d parts", tc.algorithm, len(b), aws.ToInt32(second.PartsCount))
		}
	}
	up := must[*s3.CreateMultipartUploadOutput](t)(cl.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: name, Key: aws.String("x")}))
	must[*s3.UploadPartCopyOutput](t)(cl.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: name, Key: aws.String("x"), UploadId: up.UploadId, PartNumber: aws.Int32(1),
		CopySource: aws.String("parts/CRC32"), CopySourceRange: aws.String("bytes=0-99")}))
	must[*s3.AbortMultipartUploadOutput](t)(cl.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: name, Key: aws.String("x"), UploadId: up.UploadId}))
	if _, err := cl.ListParts(ctx, &s3.ListPartsInput{Bucket: name, Key: aws.String("x"), UploadId: up.UploadId}); code(err) != "NoSuchUpload" {
		t.Errorf("an aborted upload: %v", err)
	}
}
