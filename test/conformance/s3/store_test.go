package s3_test

import (
	"crypto/rand"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	engine "github.com/awancloud/awan/internal/engine/object/s3"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
	"github.com/awancloud/awan/internal/service/object/objecttest"
	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// TestStoreBehind: one cloud keeps the bytes of its objects in another. The whole contract of the port holds there.
func TestStoreBehind(t *testing.T) {
	c := cloudtest.Start(t)
	must[*s3.CreateBucketOutput](t)(awsClient(t, c).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("blobs")}))
	ca := must[[]byte](t)(os.ReadFile(c.CAFile))
	options := func() engine.Options {
		return engine.Options{Endpoint: c.URL, Bucket: "blobs", Prefix: strings.ToLower(rand.Text()) + "/", AccessKey: c.Admin.AccessKey, SecretKey: c.Admin.SecretKey, CA: ca,
			Region: "awan-1", Owner: "me", Log: slog.New(slog.DiscardHandler)}
	}
	objecttest.Suite{
		Open: func(t testing.TB) object.Blobs {
			c.Clock.Add(time.Since(c.Clock.Now())) // the suite looks at when blobs were written
			return must[*engine.Engine](t)(engine.Open(t.Context(), options()))
		},
		InMemory:  true,           // the other cloud's memory is this process's
		LargeSize: 12<<20 + 12345, // three parts
	}.Run(t)
	o := options()
	ok(t, must[*engine.Engine](t)(engine.Open(t.Context(), o)).Close())
	ok(t, must[*engine.Engine](t)(engine.Open(t.Context(), o)).Close()) // again, as after a restart
	o.Owner = "somebody else"
	if _, err := engine.Open(t.Context(), o); !fail.Is(err, fail.Precondition) || !strings.Contains(err.Error(), "another cloud") {
		t.Errorf("a prefix that is another cloud's: %v", err)
	}
}
