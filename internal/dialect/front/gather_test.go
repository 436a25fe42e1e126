package front_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/awancloud/awan/internal/dialect/front"
)

// TestBodiesArriveWhole sends bodies of many sizes there and back over the same connections, in writes of many sizes,
// with and without a length said beforehand: what is held back and read ahead must neither be lost nor change places.
func TestBodiesArriveWhole(t *testing.T) {
	back := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := r.Header.Get("X-Length"); n != "" {
			w.Header().Set("Content-Length", n)
		}
		step, _ := strconv.Atoi(r.Header.Get("X-Step"))
		if r.ProtoMajor != 1 {
			t.Errorf("this came by %s", r.Proto)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		for len(body) > 0 {
			n := min(step, len(body))
			if _, err := w.Write(body[:n]); err != nil {
				t.Error(err)
				return
			}
			body = body[n:]
		}
	})
	c := start(t, func(o *front.Options) { o.Services[1].Handler, o.Services[1].MaxBody = back, -1 })
	hc := c.client(t)
	hc.Transport.(*http.Transport).ForceAttemptHTTP2 = false // HTTP/2 has frames of its own
	noise := make([]byte, 700<<10)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i, size := range []int{0, 1, 2047, 2048, 4096, 16 << 10, 64 << 10, 64<<10 + 1, 132 << 10, 300<<10 + 7, 700 << 10} {
				for _, step := range []int{1000, 5000, 32 << 10, 128 << 10, 1 << 20} {
					sent := noise[:size-min(size, worker)]
					if len(sent) == 0 && size > 0 {
						continue
					}
					req, err := http.NewRequest("PUT", "https://ecs.awan.localhost/v1/x", bytes.NewReader(sent))
					if err != nil {
						t.Error(err)
						return
					}
					req.Header.Set("X-Step", strconv.Itoa(step))
					if i%2 == 0 {
						req.Header.Set("X-Length", strconv.Itoa(len(sent)))
					}
					if step == 5000 {
						req.ContentLength = -1 // chunks
					}
					resp, err := hc.Do(req)
					if err != nil {
						t.Errorf("%d bytes in steps of %d: %v", len(sent), step, err)
						return
					}
					got, err := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if err != nil || !bytes.Equal(got, sent) {
						t.Errorf("%d bytes in steps of %d: %d came back, %v", len(sent), step, len(got), err)
					}
				}
			}
		})
	}
	wg.Wait()
}
