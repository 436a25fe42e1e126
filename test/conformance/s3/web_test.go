package s3_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// TestWebsite is a bucket as a public web site: who may read it, folders, errors, redirects, browsers of other origins,
// and a name of the owner's.
func TestWebsite(t *testing.T) {
	c := cloudtest.Start(t)
	cl, ctx, name := awsClient(t, c), t.Context(), aws.String("site")
	must[*s3.CreateBucketOutput](t)(cl.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: name}))
	for key, body := range map[string]string{"index.html": "home", "docs/index.html": "docs", "404.html": "nothing here"} {
		must[*s3.PutObjectOutput](t)(cl.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: aws.String(key), Body: strings.NewReader(body), ContentType: aws.String("text/html")}))
	}
	policy := aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::site/*"},` +
		`{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::site"}]}`)
	if _, err := cl.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: name, Policy: policy}); code(err) != "AccessDenied" {
		t.Errorf("a public policy while the bucket blocks it: %v", err)
	}
	must[*s3.DeletePublicAccessBlockOutput](t)(cl.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: name}))
	must[*s3.PutBucketPolicyOutput](t)(cl.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: name, Policy: policy}))
	must[*s3.PutBucketWebsiteOutput](t)(cl.PutBucketWebsite(ctx, &s3.PutBucketWebsiteInput{Bucket: name, WebsiteConfiguration: &types.WebsiteConfiguration{
		IndexDocument: &types.IndexDocument{Suffix: aws.String("index.html")}, ErrorDocument: &types.ErrorDocument{Key: aws.String("404.html")},
		RoutingRules: []types.RoutingRule{{Condition: &types.Condition{KeyPrefixEquals: aws.String("old/")}, Redirect: &types.Redirect{ReplaceKeyPrefixWith: aws.String("docs/")}}}}}))
	must[*s3.PutBucketCorsOutput](t)(cl.PutBucketCors(ctx, &s3.PutBucketCorsInput{Bucket: name, CORSConfiguration: &types.CORSConfiguration{
		CORSRules: []types.CORSRule{{AllowedOrigins: []string{"https://*.example.org"}, AllowedMethods: []string{"GET"}, AllowedHeaders: []string{"x-*"}, MaxAgeSeconds: aws.Int32(9)}}}}))
	hc := &http.Client{Transport: transport(t, c), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(method, target string, header ...string) (*http.Response, string) {
		r := must[*http.Request](t)(http.NewRequestWithContext(ctx, method, target, nil))
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		res := must[*http.Response](t)(hc.Do(r))
		defer res.Body.Close()
		return res, string(must[[]byte](t)(io.ReadAll(res.Body)))
	}
	const at = "https://site.s3-website.awan-1.awan.test"
	for _, tc := range []struct {
		path, body, location string
		status               int
	}{
		{"/", "home", "", 200}, {"/docs/", "docs", "", 200}, {"/docs", "", "/docs/", 302}, {"/none", "nothing here", "", 404},
		{"/old/index.html", "", at + "/docs/index.html", 301},
	} {
		res, body := ask("GET", at+tc.path)
		if res.StatusCode != tc.status || body != tc.body || res.Header.Get("Location") != tc.location {
			t.Errorf("%s: %s %q %s", tc.path, res.Status, body, res.Header.Get("Location"))
		}
	}
	if res, _ := ask("POST", at+"/"); res.StatusCode != 405 {
		t.Errorf("a POST to a web site: %s", res.Status)
	}
	api := "https://site.s3.awan-1.awan.test/index.html"
	for origin, want := range map[string]int{"https://a.example.org": 200, "https://a.example.com": 403} {
		res, _ := ask("OPTIONS", api, "Origin", origin, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "x-a")
		if res.StatusCode != want || (want == 200) != (res.Header.Get("Access-Control-Allow-Origin") == origin) {
			t.Errorf("preflight from %s: %s %v", origin, res.Status, res.Header)
		}
	}
	if res, body := ask("GET", api, "Origin", "https://a.example.org"); body != "home" || res.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("from an allowed origin: %s %v", body, res.Header)
	}
	if res, body := ask("PUT", api); res.StatusCode != 403 || !strings.Contains(body, "<Code>AccessDenied</Code>") {
		t.Errorf("anonymous upload: %s %s", res.Status, body)
	}
	if res, body := ask("DELETE", "https://site.s3.awan-1.awan.test/?analytics"); res.StatusCode != 405 {
		t.Errorf("a sub-resource that is not there must not delete the bucket: %s %s", res.Status, body)
	}
}
