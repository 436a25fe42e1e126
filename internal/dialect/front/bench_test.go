package front_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/awancloud/awan/internal/dialect/front"
)

func run(b *testing.B, hc *http.Client, target string) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := hc.Get(target)
			if err != nil {
				b.Error(err)
				return
			}
			_, err = io.Copy(io.Discard, res.Body)
			if err != nil {
				b.Error(err)
			}
			res.Body.Close()
		}
	})
}

func small(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}\n") }

// BenchmarkRequest is a request over kept-alive TLS through the listener, beside net/http's own TLS server.
func BenchmarkRequest(b *testing.B) {
	c := start(b, func(o *front.Options) { o.Services[1].Handler = http.HandlerFunc(small) })
	b.Run("front-http1", func(b *testing.B) {
		hc := c.client(b)
		tr := hc.Transport.(*http.Transport)
		tr.ForceAttemptHTTP2, tr.MaxIdleConnsPerHost = false, 64
		run(b, hc, "https://ecs.awan-1.awan.localhost/v1/p/cloudservers/s")
	})
	b.Run("front-http2", func(b *testing.B) { run(b, c.client(b), "https://ecs.awan-1.awan.localhost/v1/p/cloudservers/s") })
	peer := httptest.NewTLSServer(http.HandlerFunc(small))
	defer peer.Close()
	b.Run("net/http-http1", func(b *testing.B) {
		peer.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 64
		run(b, peer.Client(), peer.URL)
	})
}

// BenchmarkHandshake is a connection from nothing to its first answer: accept, sniff, TLS, one request.
func BenchmarkHandshake(b *testing.B) {
	c := start(b, nil)
	hc := c.client(b)
	hc.Transport.(*http.Transport).DisableKeepAlives = true
	for b.Loop() {
		res, err := hc.Get("https://iam.awan.localhost/v3")
		if err != nil {
			b.Fatal(err)
		}
		res.Body.Close()
	}
}
