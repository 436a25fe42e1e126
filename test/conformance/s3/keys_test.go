package s3_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/huaweicloud/huaweicloud-sdk-go-obs/obs"

	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// customerKey is a key that the customer keeps, as clients send it.
func customerKey(fill byte) (algorithm, key, sum *string) {
	k := bytes.Repeat([]byte{fill}, 32)
	digest := md5.Sum(k)
	return aws.String("AES256"), aws.String(base64.StdEncoding.EncodeToString(k)), aws.String(base64.StdEncoding.EncodeToString(digest[:]))
}

// TestCustomerKeys: an object under the customer's key is read, copied and uploaded in parts with that key, and with no other.
func TestCustomerKeys(t *testing.T) {
	c := cloudtest.Start(t)
	cl, ctx, name := awsClient(t, c), t.Context(), aws.String("keys")
	must[*s3.CreateBucketOutput](t)(cl.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: name}))
	algorithm, key, sum := customerKey(1)
	_, other, otherSum := customerKey(2)
	put := must[*s3.PutObjectOutput](t)(cl.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: aws.String("a"), Body: strings.NewReader("secret"),
		SSECustomerAlgorithm: algorithm, SSECustomerKey: key, SSECustomerKeyMD5: sum}))
	if aws.ToString(put.SSECustomerAlgorithm) != "AES256" || aws.ToString(put.SSECustomerKeyMD5) != *sum || put.ServerSideEncryption != "" {
		t.Errorf("put: %+v", put)
	}
	read := func(name, key, sum *string) (string, error) {
		in := &s3.GetObjectInput{Bucket: aws.String("keys"), Key: name, SSECustomerKey: key, SSECustomerKeyMD5: sum}
		if key != nil {
			in.SSECustomerAlgorithm = algorithm
		}
		out, err := cl.GetObject(ctx, in)
		if err != nil {
			return code(err), nil
		}
		defer out.Body.Close()
		b, err := io.ReadAll(out.Body)
		return string(b), err
	}
	for _, tc := range []struct {
		who      string
		key, sum *string
		want     string
	}{{"the key", key, sum, "secret"}, {"another key", other, otherSum, "AccessDenied"}, {"no key", nil, nil, "InvalidRequest"}, {"a wrong sum", key, otherSum, "InvalidArgument"}} {
		if got, err := read(aws.String("a"), tc.key, tc.sum); err != nil || got != tc.want {
			t.Errorf("read with %s: %q, want %q (%v)", tc.who, got, tc.want, err)
		}
	}
	if _, err := cl.HeadObject(ctx, &s3.HeadObjectInput{Bucket: name, Key: aws.String("a")}); err == nil {
		t.Error("a HEAD without the key was answered")
	}
	must[*s3.CopyObjectOutput](t)(cl.CopyObject(ctx, &s3.CopyObjectInput{Bucket: name, Key: aws.String("b"), CopySource: aws.String("keys/a"),
		CopySourceSSECustomerAlgorithm: algorithm, CopySourceSSECustomerKey: key, CopySourceSSECustomerKeyMD5: sum,
		SSECustomerAlgorithm: algorithm, SSECustomerKey: other, SSECustomerKeyMD5: otherSum}))
	if got, err := read(aws.String("b"), other, otherSum); err != nil || got != "secret" {
		t.Errorf("a copy under another key: %q %v", got, err)
	}
	customerParts(t, cl, read)
}

func customerParts(t *testing.T, cl *s3.Client, read func(name, key, sum *string) (string, error)) {
	t.Helper()
	ctx, name, object := t.Context(), aws.String("keys"), aws.String("parts")
	algorithm, key, sum := customerKey(1)
	_, other, otherSum := customerKey(2)
	up := must[*s3.CreateMultipartUploadOutput](t)(cl.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: name, Key: object,
		SSECustomerAlgorithm: algorithm, SSECustomerKey: key, SSECustomerKeyMD5: sum}))
	part := &s3.UploadPartInput{Bucket: name, Key: object, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("part"),
		SSECustomerAlgorithm: algorithm, SSECustomerKey: other, SSECustomerKeyMD5: otherSum}
	if _, err := cl.UploadPart(ctx, part); err == nil {
		t.Error("a part under another key than its upload's was taken")
	}
	part.SSECustomerKey, part.SSECustomerKeyMD5, part.Body = key, sum, strings.NewReader("part")
	p := must[*s3.UploadPartOutput](t)(cl.UploadPart(ctx, part))
	must[*s3.CompleteMultipartUploadOutput](t)(cl.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: name, Key: object, UploadId: up.UploadId,
		SSECustomerAlgorithm: algorithm, SSECustomerKey: key, SSECustomerKeyMD5: sum,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: p.ETag}}}}))
	if got, err := read(object, key, sum); err != nil || got != "part" {
		t.Errorf("uploaded in parts: %q %v", got, err)
	}
}

// TestKMSHeaders: the project's key under the name of a key service; a key that is not there is refused, not ignored.
func TestKMSHeaders(t *testing.T) {
	c := cloudtest.Start(t)
	cl, ctx, name := awsClient(t, c), t.Context(), aws.String("kms")
	must[*s3.CreateBucketOutput](t)(cl.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: name}))
	put := must[*s3.PutObjectOutput](t)(cl.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: aws.String("a"), Body: strings.NewReader("x"), ServerSideEncryption: types.ServerSideEncryptionAwsKms}))
	if put.ServerSideEncryption != types.ServerSideEncryptionAwsKms || aws.ToString(put.SSEKMSKeyId) != "obs/default" {
		t.Errorf("put: %+v", put)
	}
	if h := must[*s3.HeadObjectOutput](t)(cl.HeadObject(ctx, &s3.HeadObjectInput{Bucket: name, Key: aws.String("a")})); h.ServerSideEncryption != types.ServerSideEncryptionAwsKms {
		t.Errorf("head: %+v", h)
	}
	if _, err := cl.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: aws.String("b"), Body: strings.NewReader("x"), ServerSideEncryption: types.ServerSideEncryptionAwsKms,
		SSEKMSKeyId: aws.String("another")}); code(err) != "KMS.NotFoundException" {
		t.Errorf("a key that is not there: %v", err)
	}
	rule := &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryptionAwsKms}
	must[*s3.PutBucketEncryptionOutput](t)(cl.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{Bucket: name, ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{
		Rules: []types.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: rule}}}}))
	if put = must[*s3.PutObjectOutput](t)(cl.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: aws.String("c"), Body: strings.NewReader("x")})); put.ServerSideEncryption != types.ServerSideEncryptionAwsKms {
		t.Errorf("by the bucket's default: %+v", put)
	}
	if e := must[*s3.GetBucketEncryptionOutput](t)(cl.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: name})); e.ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm != types.ServerSideEncryptionAwsKms {
		t.Errorf("the bucket's default: %+v", e)
	}
	oc := obsClient(t, c, obs.SignatureObs)
	in := &obs.PutObjectInput{Body: strings.NewReader("x")}
	in.Bucket, in.Key, in.SseHeader = "kms", "d", obs.SseKmsHeader{Encryption: obs.DEFAULT_SSE_KMS_ENCRYPTION_OBS}
	out := must[*obs.PutObjectOutput](t)(oc.PutObject(in))
	if h, is := out.SseHeader.(obs.SseKmsHeader); !is || h.Encryption != "kms" {
		t.Errorf("OBS: %+v", out.SseHeader)
	}
	sse := obs.SseCHeader{Encryption: "AES256", Key: base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{3}, 32))}
	in = &obs.PutObjectInput{Body: strings.NewReader("mine")}
	in.Bucket, in.Key, in.SseHeader = "kms", "e", sse
	must[*obs.PutObjectOutput](t)(oc.PutObject(in))
	get := &obs.GetObjectInput{}
	get.Bucket, get.Key, get.SseHeader = "kms", "e", sse
	if b := must[[]byte](t)(io.ReadAll(must[*obs.GetObjectOutput](t)(oc.GetObject(get)).Body)); string(b) != "mine" {
		t.Errorf("OBS under the customer's key: %q", b)
	}
}

// TestTemporaryKeys: a key that identity gave out for some minutes works with its token only, for what it was narrowed to,
// and until it ends: in headers, in links, and in OBS's words.
func TestTemporaryKeys(t *testing.T) {
	c := cloudtest.Start(t)
	ctx, name := t.Context(), aws.String("temporary")
	must[*s3.CreateBucketOutput](t)(awsClient(t, c).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: name}))
	narrow := json.RawMessage(`{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["obs:object:GetObject","obs:object:PutObject"],"Resource":["obs:*:*:object:temporary/mine/*"]}]}`)
	key := must[ident.Temporary](t)(c.Ident.IssueTemporary(ctx, c.Root, 15*time.Minute, narrow))
	with := func(token string) *s3.Client {
		return awsClient(t, c, func(o *s3.Options) {
			o.Credentials = credentials.NewStaticCredentialsProvider(key.Access, key.Secret, token)
		})
	}
	put := func(cl *s3.Client, key string) error {
		_, err := cl.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: &key, Body: strings.NewReader("x")})
		return err
	}
	ok(t, put(with(key.Token), "mine/a"))
	for token, want := range map[string]string{"": "InvalidAccessKeyId", "awk1.other": "InvalidToken"} {
		if err := put(with(token), "mine/a"); code(err) != want {
			t.Errorf("with token %q: %v, want %s", token, err, want)
		}
	}
	if err := put(with(key.Token), "theirs/a"); code(err) != "AccessDenied" {
		t.Errorf("outside of what it is for: %v", err)
	}
	link, err := s3.NewPresignClient(with(key.Token)).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: aws.String("mine/a")})
	ok(t, err)
	hc := &http.Client{Transport: transport(t, c)}
	status := func() int {
		res := must[*http.Response](t)(hc.Get(link.URL))
		defer res.Body.Close()
		return res.StatusCode
	}
	if got := status(); got != 200 {
		t.Errorf("link: %d", got)
	}
	var clients []*obs.ObsClient
	for _, signature := range []obs.SignatureType{obs.SignatureObs, obs.SignatureV2, obs.SignatureV4} {
		oc := must[*obs.ObsClient](t)(obs.New(key.Access, key.Secret, "https://obs.awan-1.awan.test", obs.WithSignature(signature), obs.WithHttpTransport(transport(t, c)),
			obs.WithRegion("awan-1"), obs.WithMaxRetryCount(0), obs.WithSecurityToken(key.Token)))
		t.Cleanup(oc.Close)
		clients = append(clients, oc)
	}
	get := &obs.GetObjectInput{}
	get.Bucket, get.Key = "temporary", "mine/a"
	for _, oc := range clients {
		if b := must[[]byte](t)(io.ReadAll(must[*obs.GetObjectOutput](t)(oc.GetObject(get)).Body)); string(b) != "x" {
			t.Errorf("OBS: %q", b)
		}
	}
	c.Clock.Add(16 * time.Minute)
	defer c.Clock.Add(-16 * time.Minute)
	if got := status(); got != 400 && got != 403 {
		t.Errorf("a link of a key that ended: %d", got)
	}
}
