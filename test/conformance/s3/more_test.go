package s3_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/huaweicloud/huaweicloud-sdk-go-obs/obs"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/awancloud/awan/internal/service/bucket"
	"github.com/awancloud/awan/test/conformance/cloudtest"
)

type noClose struct{ hash.Hash }

func (noClose) Close() {}

// TestSignedTrailer: chunks and a trailer, each signed, as minio-go signs them over clear text.
func TestSignedTrailer(t *testing.T) {
	c := cloudtest.Start(t)
	cl, ctx := awsClient(t, c), t.Context()
	must[*s3.CreateBucketOutput](t)(cl.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("trailer")}))
	body := bytes.Repeat([]byte("0123456789abcdef"), 10000) // three chunks
	sum := func(b []byte) string {
		return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))))
	}
	for _, tc := range []struct {
		name, sum string
		spoil     func([]byte) []byte
		want      int
	}{
		{"as it is", sum(body), func(b []byte) []byte { return b }, 200},
		{"a sum of something else", sum(body[1:]), func(b []byte) []byte { return b }, 400},
		{"another trailer than was signed", sum(body), func(b []byte) []byte { return bytes.Replace(b, []byte(sum(body)), []byte(sum(body[1:])), 1) }, 403},
		{"no signature of the trailer", sum(body), func(b []byte) []byte { return b[:bytes.Index(b, []byte("x-amz-trailer-signature"))] }, 403},
		{"another byte", sum(body), func(b []byte) []byte { b[1000]++; return b }, 403},
	} {
		req := must[*http.Request](t)(http.NewRequestWithContext(ctx, http.MethodPut, c.URL+"/trailer/a", bytes.NewReader(body)))
		req.Trailer = http.Header{"X-Amz-Checksum-Crc32c": {tc.sum}}
		req.ContentLength = int64(len(body))
		req = signer.StreamingSignV4(req, c.Admin.AccessKey, c.Admin.SecretKey, "", "awan-1", int64(len(body)), c.Clock.Now().UTC(), noClose{sha256.New()})
		raw := tc.spoil(must[[]byte](t)(io.ReadAll(req.Body)))
		req.Body, req.ContentLength, req.Trailer = io.NopCloser(bytes.NewReader(raw)), int64(len(raw)), nil
		if got := req.Header.Get("X-Amz-Content-Sha256"); got != "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" {
			t.Fatalf("the client signs %s", got)
		}
		res := must[*http.Response](t)((&http.Client{Transport: transport(t, c)}).Do(req))
		said := must[[]byte](t)(io.ReadAll(res.Body))
		res.Body.Close()
		if res.StatusCode != tc.want {
			t.Errorf("%s: %s %s", tc.name, res.Status, said)
		}
	}
	get := must[*s3.GetObjectOutput](t)(cl.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("trailer"), Key: aws.String("a"), ChecksumMode: types.ChecksumModeEnabled}))
	if b := must[[]byte](t)(io.ReadAll(get.Body)); !bytes.Equal(b, body) || aws.ToString(get.ChecksumCRC32C) != sum(body) {
		t.Errorf("%d bytes came back, %+v", len(b), get)
	}
}

// TestCold: what is cold is read after it was restored, by the words of both protocols.
func TestCold(t *testing.T) {
	c := cloudtest.Start(t)
	cl, ctx, name := awsClient(t, c), t.Context(), aws.String("cold")
	oc := obsClient(t, c, obs.SignatureObs)
	must[*s3.CreateBucketOutput](t)(cl.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: name}))
	put := &obs.PutObjectInput{Body: strings.NewReader("ice")}
	put.Bucket, put.Key, put.StorageClass = "cold", "obs", obs.StorageClassCold
	must[*obs.PutObjectOutput](t)(oc.PutObject(put))
	must[*s3.PutObjectOutput](t)(cl.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: aws.String("s3"), Body: strings.NewReader("ice"), StorageClass: types.StorageClassGlacier}))
	for _, key := range []string{"obs", "s3"} {
		if _, err := cl.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: &key}); code(err) != "InvalidObjectState" {
			t.Errorf("%s: read while it is cold: %v", key, err)
		}
	}
	out := must[*obs.BaseModel](t)(oc.RestoreObject(&obs.RestoreObjectInput{Bucket: "cold", Key: "obs", Days: 1, Tier: obs.RestoreTierExpedited}))
	if out.StatusCode != 202 {
		t.Errorf("restore: %d", out.StatusCode)
	}
	must[*s3.RestoreObjectOutput](t)(cl.RestoreObject(ctx, &s3.RestoreObjectInput{Bucket: name, Key: aws.String("s3"), RestoreRequest: &types.RestoreRequest{Days: aws.Int32(1)}}))
	head := must[*s3.HeadObjectOutput](t)(cl.HeadObject(ctx, &s3.HeadObjectInput{Bucket: name, Key: aws.String("s3")}))
	if !strings.Contains(aws.ToString(head.Restore), `ongoing-request="false"`) || head.StorageClass != types.StorageClassGlacier {
		t.Errorf("head: %+v", head)
	}
	for _, key := range []string{"obs", "s3"} {
		get := must[*s3.GetObjectOutput](t)(cl.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: &key}))
		if b := must[[]byte](t)(io.ReadAll(get.Body)); string(b) != "ice" {
			t.Errorf("%s: %q", key, b)
		}
	}
	c.Clock.Add(25 * time.Hour)
	defer c.Clock.Add(-25 * time.Hour)
	_, err := c.Buckets.Get(ctx, &bucket.Caller{Principal: c.Root}, &bucket.GetInput{Bucket: "cold", Key: "s3"}) // the SDK's clock does not go with the cloud's
	if bucket.CodeOf(err) != "InvalidObjectState" {
		t.Errorf("after its day: %v", err)
	}
}

// TestCustomDomain: a name of the owner's leads to the bucket, one bucket a name, until it is taken away.
func TestCustomDomain(t *testing.T) {
	c := cloudtest.Start(t)
	oc, hc := obsClient(t, c, obs.SignatureObs), &http.Client{Transport: transport(t, c)}
	hc.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true // the name is not in the test's certificate
	for _, b := range []string{"first", "second"} {
		in := &obs.CreateBucketInput{Bucket: b}
		in.ACL = obs.AclPublicRead
		must[*obs.BaseModel](t)(oc.CreateBucket(in))
	}
	put := &obs.PutObjectInput{Body: strings.NewReader("hello")}
	put.Bucket, put.Key, put.ACL = "first", "a b.txt", obs.AclPublicRead
	must[*obs.PutObjectOutput](t)(oc.PutObject(put))
	must[*obs.BaseModel](t)(oc.SetBucketCustomDomain(&obs.SetBucketCustomDomainInput{Bucket: "first", CustomDomain: "Files.example.org"}))
	if _, err := oc.SetBucketCustomDomain(&obs.SetBucketCustomDomainInput{Bucket: "second", CustomDomain: "files.example.org"}); code(err) != "DomainAlreadyExists" {
		t.Errorf("a name that another bucket has: %v", err)
	}
	if d := must[*obs.GetBucketCustomDomainOutput](t)(oc.GetBucketCustomDomain("first")); len(d.Domains) != 1 || d.Domains[0].DomainName != "files.example.org" {
		t.Errorf("domains: %+v", d)
	}
	ask := func() (int, string) {
		res := must[*http.Response](t)(hc.Get("https://files.example.org/a%20b.txt"))
		defer res.Body.Close()
		return res.StatusCode, string(must[[]byte](t)(io.ReadAll(res.Body)))
	}
	if status, body := ask(); status != 200 || body != "hello" {
		t.Errorf("under its own name: %d %s", status, body)
	}
	must[*obs.BaseModel](t)(oc.DeleteBucketCustomDomain(&obs.DeleteBucketCustomDomainInput{Bucket: "first", CustomDomain: "files.example.org"}))
	if status, body := ask(); status == 200 {
		t.Errorf("after it was taken away: %d %s", status, body)
	}
}

// TestOBSFolders: truncate, and folders that are renamed with all that is in them.
func TestOBSFolders(t *testing.T) {
	c := cloudtest.Start(t)
	oc := obsClient(t, c, obs.SignatureObs)
	must[*obs.BaseModel](t)(oc.CreateBucket(&obs.CreateBucketInput{Bucket: "posix", IsFSFileInterface: true}))
	must[*obs.BaseModel](t)(oc.CreateBucket(&obs.CreateBucketInput{Bucket: "plain"}))
	for _, key := range []string{"dir/", "dir/a", "dir/sub/b", "dirt"} {
		in := &obs.PutObjectInput{Body: strings.NewReader("0123456789")}
		in.Bucket, in.Key = "posix", key
		must[*obs.PutObjectOutput](t)(oc.PutObject(in))
	}
	must[*obs.RenameFolderOutput](t)(oc.RenameFolder(&obs.RenameFolderInput{Bucket: "posix", Key: "dir", NewObjectKey: "moved"}))
	l := must[*obs.ListObjectsOutput](t)(oc.ListObjects(&obs.ListObjectsInput{Bucket: "posix"}))
	var keys []string
	for _, o := range l.Contents {
		keys = append(keys, o.Key)
	}
	if got := strings.Join(keys, " "); got != "dirt moved/ moved/a moved/sub/b" {
		t.Errorf("renamed: %s", got)
	}
	for _, tc := range []struct{ key, to, want string }{{"none", "x", "NoSuchKey"}, {"moved", "moved/in", "InvalidArgument"}} {
		if _, err := oc.RenameFolder(&obs.RenameFolderInput{Bucket: "posix", Key: tc.key, NewObjectKey: tc.to}); code(err) != tc.want {
			t.Errorf("%s to %s: %v, want %s", tc.key, tc.to, err, tc.want)
		}
	}
	if _, err := oc.RenameFile(&obs.RenameFileInput{Bucket: "plain", Key: "a", NewObjectKey: "b"}); code(err) != "MethodNotAllowed" {
		t.Errorf("in a bucket without a file interface: %v", err)
	}
	link := func(query string) string {
		u := must[*obs.CreateSignedUrlOutput](t)(oc.CreateSignedUrl(&obs.CreateSignedUrlInput{Method: obs.HttpMethodPut, Bucket: "posix", Key: "moved/a", Expires: 60, SubResource: "truncate",
			QueryParams: map[string]string{"length": query}}))
		return u.SignedUrl
	}
	hc := &http.Client{Transport: transport(t, c)}
	for length, want := range map[string]int{"4": 204, "-1": 400} {
		res := must[*http.Response](t)(hc.Do(must[*http.Request](t)(http.NewRequest(http.MethodPut, link(length), nil))))
		said := must[[]byte](t)(io.ReadAll(res.Body))
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("truncate to %s: %s %s", length, res.Status, said)
		}
	}
	get := &obs.GetObjectInput{}
	get.Bucket, get.Key = "posix", "moved/a"
	if b := must[[]byte](t)(io.ReadAll(must[*obs.GetObjectOutput](t)(oc.GetObject(get)).Body)); string(b) != "0123" {
		t.Errorf("truncated: %q", b)
	}
}

// TestOBSRefusesWhatIsNotThere: an error, never a wish that is forgotten.
func TestOBSRefusesWhatIsNotThere(t *testing.T) {
	c := cloudtest.Start(t)
	oc := obsClient(t, c, obs.SignatureObs)
	must[*obs.BaseModel](t)(oc.CreateBucket(&obs.CreateBucketInput{Bucket: "bare"}))
	for what, ask := range map[string]func() error{
		"callback after an append": func() error {
			in := &obs.AppendObjectInput{Body: strings.NewReader("x")}
			in.Bucket, in.Key = "bare", "a"
			_, err := oc.AppendObject(in, obs.WithCallbackHeader("eyJjYWxsYmFja1VybCI6Imh0dHA6Ly94In0="))
			return err
		},
		"access label": func() error {
			in := &obs.SetDirAccesslabelInput{Accesslabel: []string{"a"}}
			in.Bucket, in.Key = "bare", "dir/"
			_, err := oc.SetDirAccesslabel(in)
			return err
		},
	} {
		err := ask()
		if code(err) != "NotImplemented" || err.(obs.ObsError).StatusCode != 501 {
			t.Errorf("%s: %v", what, err)
		}
	}
	if l := must[*obs.ListObjectsOutput](t)(oc.ListObjects(&obs.ListObjectsInput{Bucket: "bare"})); len(l.Contents) != 0 {
		t.Errorf("stored: %+v", l.Contents)
	}
}

// TestMadeAgain: a bucket that its owner makes a second time is there already, but for clients of Amazon's oldest region.
func TestMadeAgain(t *testing.T) {
	c := cloudtest.Start(t)
	name := aws.String("again")
	for _, row := range []struct {
		region string
		acl    types.BucketCannedACL
		code   string
	}{{"awan-1", "", ""}, {"awan-1", "", "BucketAlreadyOwnedByYou"}, {"us-east-1", "", ""}, {"us-east-1", "private", "BucketAlreadyOwnedByYou"}} {
		cl := awsClient(t, c, func(o *s3.Options) { o.Region = row.region })
		if _, err := cl.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: name, ACL: row.acl}); code(err) != row.code || (row.code == "") != (err == nil) {
			t.Errorf("in %s with ACL %q: %v, want %q", row.region, row.acl, err, row.code)
		}
	}
}
