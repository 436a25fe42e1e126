package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// target is what a load is sent to: HTTP/1.1 over connections that are kept alive.
type target struct {
	addr    string
	tls     *tls.Config // nil: clear text
	request func(i int64) []byte
}

// fixed sends the same request again and again.
func fixed(b []byte) func(int64) []byte { return func(int64) []byte { return b } }

// get makes a request's bytes. The client is written by hand, because it shares the machine with what it measures:
// net/http's would take more of the processor than the server does.
func get(host, path string, headers ...string) []byte {
	return send("GET", host, path, nil, headers...)
}

func send(method, host, path string, body []byte, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, host)
	for i := 0; i+1 < len(headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
	}
	if body != nil {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// result is what a load measured.
type result struct {
	rate     float64 // a second
	p50, p99 time.Duration
	n        int64
	err      error // the first
}

// load sends requests from several clients, each as soon as its last was answered, for d or until most were sent.
func load(t target, clients int, d time.Duration, most int64) result {
	var sent atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	var r result
	began := time.Now()
	end := began.Add(d)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			took, err := client(t, end, func() int64 {
				i := sent.Add(1)
				if most > 0 && i > most {
					return -1
				}
				return i
			})
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if r.err == nil {
				r.err = err
			}
		})
	}
	wg.Wait()
	r.n = int64(len(all))
	if r.n == 0 {
		return r
	}
	slices.Sort(all)
	r.rate = float64(r.n) / time.Since(began).Seconds()
	r.p50, r.p99 = all[len(all)/2], all[len(all)*99/100]
	return r
}

func client(t target, end time.Time, next func() int64) (took []time.Duration, err error) {
	conn, err := net.DialTimeout("tcp", t.addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	if t.tls != nil {
		conn = tls.Client(conn, t.tls)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(end.Add(30 * time.Second))
	r := bufio.NewReaderSize(conn, 32<<10)
	for time.Now().Before(end) {
		i := next()
		if i < 0 {
			return took, nil
		}
		begin := time.Now()
		if _, err := conn.Write(t.request(i)); err != nil {
			return took, err
		}
		if err := answer(r); err != nil {
			return took, err
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}

// answer reads one answer, which must be a good one.
func answer(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	status := string(line)
	length, chunked := int64(0), false
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if v, ok := header(line, "content-length:"); ok {
			if length, err = strconv.ParseInt(v, 10, 64); err != nil {
				return err
			}
		}
		if _, ok := header(line, "transfer-encoding:"); ok {
			chunked = true
		}
	}
	var body bytes.Buffer
	var into io.Writer = io.Discard
	bad := len(status) < 12 || status[9] != '2'
	if bad {
		into = &body
	}
	if chunked {
		if _, err = io.Copy(into, httputil.NewChunkedReader(r)); err == nil {
			_, err = r.ReadSlice('\n')
		}
	} else {
		_, err = io.CopyN(into, r, length)
	}
	if bad {
		return fmt.Errorf("%.12s %.300s", status, body.String())
	}
	return err
}

func header(line []byte, name string) (string, bool) {
	if len(line) < len(name) || !bytes.EqualFold(line[:len(name)], []byte(name)) {
		return "", false
	}
	return string(bytes.TrimSpace(line[len(name):])), true
}
