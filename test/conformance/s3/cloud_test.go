// Package s3_test tries object storage with clients that we did not write.
package s3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/huaweicloud/huaweicloud-sdk-go-obs/obs"
	"github.com/minio/minio-go/v7"
	miniocreds "github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// transport reaches every name of the cloud at its one address.
func transport(t testing.TB, c *cloudtest.Cloud) *http.Transport {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.CA.Pool()}, MaxIdleConnsPerHost: 32,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, c.Addr)
		}}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func awsClient(t testing.TB, c *cloudtest.Cloud, options ...func(*s3.Options)) *s3.Client {
	o := s3.Options{Region: "awan-1", BaseEndpoint: aws.String("https://s3.awan-1.awan.test"), HTTPClient: &http.Client{Transport: transport(t, c)},
		Credentials: credentials.NewStaticCredentialsProvider(c.Admin.AccessKey, c.Admin.SecretKey, ""), RetryMaxAttempts: 1,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported} // as its configuration loader sets it
	return s3.New(o, options...)
}

func minioClient(t testing.TB, c *cloudtest.Cloud) *minio.Client {
	mc, err := minio.New("s3.awan-1.awan.test", &minio.Options{Creds: miniocreds.NewStaticV4(c.Admin.AccessKey, c.Admin.SecretKey, ""), Secure: true,
		Transport: transport(t, c), Region: "awan-1", BucketLookup: minio.BucketLookupDNS, MaxRetries: 1, TrailingHeaders: true})
	if err != nil {
		t.Fatal(err)
	}
	return mc
}

func obsClient(t testing.TB, c *cloudtest.Cloud, signature obs.SignatureType) *obs.ObsClient {
	oc, err := obs.New(c.Admin.AccessKey, c.Admin.SecretKey, "https://obs.awan-1.awan.test", obs.WithSignature(signature), obs.WithHttpTransport(transport(t, c)),
		obs.WithRegion("awan-1"), obs.WithMaxRetryCount(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(oc.Close)
	return oc
}

// ok ends the test at an error.
func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if e, isOBS := err.(obs.ObsError); isOBS {
		return e.Code
	}
	return minio.ToErrorResponse(err).Code
}

func unescape(s string) (string, error) { return url.PathUnescape(s) }

// multipartForm makes the body of an upload form.
func multipartForm(t testing.TB, fields map[string]string, file, content string) (io.Reader, string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range fields {
		ok(t, w.WriteField(name, value))
	}
	part := must[io.Writer](t)(w.CreateFormFile("file", file))
	must[int](t)(io.WriteString(part, content))
	ok(t, w.Close())
	return &b, w.FormDataContentType()
}
