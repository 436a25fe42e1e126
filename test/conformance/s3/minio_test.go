package s3_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/tags"

	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// TestMinIO is what minio-go does: signed chunks without TLS would be its default, a form's upload, an upload of unknown
// length, and signatures of version 2.
func TestMinIO(t *testing.T) {
	c := cloudtest.Start(t)
	cl, ctx := minioClient(t, c), t.Context()
	ok(t, cl.MakeBucket(ctx, "mmm", minio.MakeBucketOptions{ObjectLocking: true}))
	data := make([]byte, 6<<20)
	must[int](t)(rand.Read(data))
	for name, o := range map[string]minio.PutObjectOptions{
		"plain": {}, "md5": {SendContentMd5: true}, "sha256": {DisableContentSha256: false, DisableMultipart: true}, "crc32c": {Checksum: minio.ChecksumCRC32C, DisableMultipart: true},
		"trailer": {Checksum: minio.ChecksumSHA256, DisableMultipart: true}, "nvme": {Checksum: minio.ChecksumCRC64NVME},
	} {
		must[minio.UploadInfo](t)(cl.PutObject(ctx, "mmm", name, bytes.NewReader(data), int64(len(data)), o))
		got := must[*minio.Object](t)(cl.GetObject(ctx, "mmm", name, minio.GetObjectOptions{}))
		if b := must[[]byte](t)(io.ReadAll(got)); !bytes.Equal(b, data) {
			t.Errorf("%s: other bytes came back", name)
		}
	}
	must[minio.UploadInfo](t)(cl.PutObject(ctx, "mmm", "stream", io.MultiReader(bytes.NewReader(data), strings.NewReader("end")), -1, minio.PutObjectOptions{PartSize: 5 << 20}))
	if s := must[minio.ObjectInfo](t)(cl.StatObject(ctx, "mmm", "stream", minio.StatObjectOptions{})); s.Size != int64(len(data)+3) {
		t.Errorf("stream: %+v", s)
	}
	pairs := must[*tags.Tags](t)(tags.MapToObjectTags(map[string]string{"a": "1"}))
	ok(t, cl.PutObjectTagging(ctx, "mmm", "plain", pairs, minio.PutObjectTaggingOptions{}))
	if got := must[*tags.Tags](t)(cl.GetObjectTagging(ctx, "mmm", "plain", minio.GetObjectTaggingOptions{})); got.ToMap()["a"] != "1" {
		t.Errorf("tags: %v", got)
	}
	mode, until := minio.Governance, c.Clock.Now().Add(time.Hour).Truncate(time.Second)
	ok(t, cl.PutObjectRetention(ctx, "mmm", "plain", minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until}))
	version := must[minio.ObjectInfo](t)(cl.StatObject(ctx, "mmm", "plain", minio.StatObjectOptions{})).VersionID
	if err := cl.RemoveObject(ctx, "mmm", "plain", minio.RemoveObjectOptions{VersionID: version}); code(err) != "AccessDenied" {
		t.Errorf("a locked version: %v", err)
	}
	ok(t, cl.RemoveObject(ctx, "mmm", "plain", minio.RemoveObjectOptions{VersionID: version, GovernanceBypass: true}))
	form(t, c, cl)
	oldSignature(t, c)
	wrong(t, c)
}

// form uploads as a browser does.
func form(t *testing.T, c *cloudtest.Cloud, cl *minio.Client) {
	t.Helper()
	p := minio.NewPostPolicy()
	ok(t, p.SetBucket("mmm"))
	ok(t, p.SetKeyStartsWith("up/"))
	ok(t, p.SetExpires(time.Now().Add(time.Hour)))
	ok(t, p.SetContentLengthRange(1, 10))
	u, fields, err := cl.PresignedPostPolicy(t.Context(), p)
	ok(t, err)
	for _, try := range []struct {
		to, body string
		want     int
	}{
		{u.String(), "small", 204}, {u.String(), "far more than ten", 400},
		{"https://" + c.Addr + "/mmm", "small", 204}, // as boto3's generate_presigned_post has it
	} {
		fields["key"] = "up/${filename}"
		b, contentType := multipartForm(t, fields, "f.txt", try.body)
		r := must[*http.Request](t)(http.NewRequest("POST", try.to, b))
		r.Header.Set("Content-Type", contentType)
		res := must[*http.Response](t)((&http.Client{Transport: transport(t, c)}).Do(r))
		answer := must[[]byte](t)(io.ReadAll(res.Body))
		res.Body.Close()
		if res.StatusCode != try.want {
			t.Errorf("form with %q to %s: %s %s", try.body, try.to, res.Status, answer)
		}
	}
	if s := must[minio.ObjectInfo](t)(cl.StatObject(t.Context(), "mmm", "up/f.txt", minio.StatObjectOptions{})); s.Size != 5 {
		t.Errorf("uploaded by form: %+v", s)
	}
}

// oldSignature: version 2, by header and in links.
func oldSignature(t *testing.T, c *cloudtest.Cloud) {
	t.Helper()
	cl := must[*minio.Client](t)(minio.New("s3.awan-1.awan.test", &minio.Options{Creds: credentials.NewStaticV2(c.Admin.AccessKey, c.Admin.SecretKey, ""), Secure: true,
		Transport: transport(t, c), Region: "awan-1", MaxRetries: 1}))
	must[minio.UploadInfo](t)(cl.PutObject(t.Context(), "mmm", "v2 +ü", strings.NewReader("two"), 3, minio.PutObjectOptions{UserMetadata: map[string]string{"a": "b"}}))
	u := must[*url.URL](t)(cl.PresignedGetObject(t.Context(), "mmm", "v2 +ü", time.Hour, url.Values{"response-content-type": {"text/x"}}))
	res := must[*http.Response](t)((&http.Client{Transport: transport(t, c)}).Get(u.String()))
	defer res.Body.Close()
	if b := must[[]byte](t)(io.ReadAll(res.Body)); string(b) != "two" || res.Header.Get("Content-Type") != "text/x" {
		t.Errorf("link of version 2: %s %s", res.Status, b)
	}
}

// wrong: each way to be refused has its word.
func wrong(t *testing.T, c *cloudtest.Cloud) {
	t.Helper()
	for want, creds := range map[string]*credentials.Credentials{
		"SignatureDoesNotMatch": credentials.NewStaticV4(c.Admin.AccessKey, "wrong", ""),
		"InvalidAccessKeyId":    credentials.NewStaticV4("NOBODYSKEY", "wrong", ""),
		"InvalidToken":          credentials.NewStaticV4(c.Admin.AccessKey, c.Admin.SecretKey, "no token"),
		"AccessDenied":          credentials.NewStatic("", "", "", credentials.SignatureAnonymous),
	} {
		cl := must[*minio.Client](t)(minio.New("s3.awan-1.awan.test", &minio.Options{Creds: creds, Secure: true, Transport: transport(t, c), Region: "awan-1", MaxRetries: 1}))
		if _, err := cl.PutObject(t.Context(), "mmm", "x", strings.NewReader("x"), 1, minio.PutObjectOptions{}); code(err) != want {
			t.Errorf("want %s: %v", want, err)
		}
	}
	c.Clock.Add(time.Hour)
	if _, err := minioClient(t, c).ListBuckets(t.Context()); code(err) != "RequestTimeTooSkewed" {
		t.Errorf("with a clock that is off: %v", err)
	}
}
