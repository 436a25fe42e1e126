package bucket_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/engine/object/file"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/pebble"
	"github.com/awancloud/awan/internal/service/bucket"
)

const writers = 16

// openIn opens object storage that lives in a folder, as the cloud itself.
func openIn(dir string) (*bucket.Service, *bucket.Caller, func(), error) {
	quiet := slog.New(slog.DiscardHandler)
	s, err := pebble.Open(dir+"/store", pebble.Options{Logger: quiet})
	if err != nil {
		return nil, nil, nil, err
	}
	blobs, err := file.Open(file.Options{Dirs: []string{dir + "/objects"}, Reserve: 1 << 20, Log: quiet})
	if err != nil {
		return nil, nil, nil, err
	}
	sealer, err := secret.OpenSealer(dir + "/keys")
	if err != nil {
		return nil, nil, nil, err
	}
	who := ident.New(s, secret.NewPasswords(secret.Cost{Memory: 64, Time: 1, Lanes: 1}), sealer, time.Now)
	if _, err := who.Bootstrap(context.Background(), "awan", "awan-1"); err != nil {
		return nil, nil, nil, err
	}
	svc := bucket.New(bucket.Deps{Store: s, Blobs: blobs, Sealer: sealer, Now: time.Now, Log: quiet,
		DomainName: func(store.Tx, id.ID) (string, error) { return "awan", nil }, Outward: outside})
	door := call.NewDoor(call.Options{Store: s, Ident: who, Kinds: append(who.Kinds.All(), svc.Kinds()...), Region: "awan-1", Now: time.Now, Log: quiet, Own: svc.Own})
	svc.Serve(door)
	if err := door.Start(context.Background()); err != nil {
		return nil, nil, nil, err
	}
	me := &bucket.Caller{Principal: ident.Principal{Method: ident.BySystem, UserName: "test"}}
	err = s.View(context.Background(), func(tx store.Tx) error {
		d, err := who.Kinds.Domain.Find(tx, "-", "awan")
		if err == nil {
			me.Principal.Domain = d.ID
		}
		return err
	})
	if err != nil {
		return nil, nil, nil, err
	}
	return svc, me, func() { svc.Close(); door.Close(); _ = blobs.Close(); _ = s.Close() }, svc.Start(context.Background())
}

// content makes the bytes of one write; they say what they are.
func content(name string, size int) []byte {
	sum := sha256.Sum256([]byte(name))
	return bytes.Repeat(sum[:], size/len(sum)+1)[:size]
}

// TestMain runs the writer that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("AWAN_TEST_OBJECTS"); dir != "" {
		work := func() error { return write(dir) }
		if hook := os.Getenv("AWAN_TEST_HOOK"); hook != "" {
			work = func() error { return writeForTasks(dir, hook) }
		}
		if err := work(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// write works until it is killed: 16 writers, each on names of its own. Before an operation it prints what it will do,
// behind it that it was done.
func write(dir string) error {
	svc, me, _, err := openIn(dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := svc.Create(ctx, me, "kill", bucket.BucketSpec{}, "", nil); err != nil && !fail.Is(err, fail.Exists) {
		return err
	}
	fmt.Println("ready")
	var out sync.Mutex
	say := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	errs := make(chan error, writers)
	for n := range writers {
		go func() { errs <- work(ctx, svc, me, n, say) }()
	}
	return <-errs
}

func work(ctx context.Context, svc *bucket.Service, me *bucket.Caller, n int, say func(string, ...any)) error {
	for i := 0; ; i++ {
		key := fmt.Sprintf("w%d/k%d", n, rand.IntN(4))
		name := fmt.Sprintf("%s#%d.%d", key, os.Getpid(), i)
		size := []int{0, 10, 4096, 70000, 400000, 3 << 20}[rand.IntN(6)]
		body := content(name, size)
		sum := sha256.Sum256(body)
		var err error
		switch what := rand.IntN(10); {
		case what == 0:
			say("begin %s -", key)
			_, err = svc.Delete(ctx, me, &bucket.DeleteInput{Bucket: "kill", Key: key})
		case what < 3: // in parts
			say("begin %s %x", key, sum)
			err = inParts(ctx, svc, me, key, body)
		default:
			say("begin %s %x", key, sum)
			_, err = svc.Put(ctx, me, &bucket.PutInput{Bucket: "kill", Key: key, Body: bytes.NewReader(body), Size: int64(size)})
		}
		if err != nil {
			return err
		}
		say("done %s", key)
	}
}

func inParts(ctx context.Context, svc *bucket.Service, me *bucket.Caller, key string, body []byte) error {
	up, err := svc.Begin(ctx, me, &bucket.UploadInput{PutInput: bucket.PutInput{Bucket: "kill", Key: key}})
	if err != nil {
		return err
	}
	p, err := svc.PutPart(ctx, me, &bucket.PartInput{Bucket: "kill", Key: key, Upload: up.ID, Number: 1, Body: bytes.NewReader(body), Size: int64(len(body))})
	if err != nil {
		return err
	}
	_, err = svc.Complete(ctx, me, &bucket.CompleteInput{Bucket: "kill", Key: key, Upload: up.ID, Parts: []bucket.Part{*p}, Size: -1})
	return err
}

// TestKillNine kills a cloud that is being written to, again and again: what was acknowledged is there, whole; what was
// begun is there whole or as it was.
func TestKillNine(t *testing.T) {
	rounds := 4
	if os.Getenv("AWAN_LONG") != "" {
		rounds = 40
	}
	dir := t.TempDir()
	acked, begun := map[string]string{}, map[string]string{} // by key, what lies there: a digest, "-" for nothing
	total := 0
	for range rounds {
		total += killed(t, dir, acked, begun)
		svc, me, closeAll, err := openIn(dir)
		if err != nil {
			t.Fatal(err)
		}
		for key, want := range acked {
			got := digest(t, svc, me, key)
			pending, unsure := begun[key]
			if got != want && (!unsure || got != pending) {
				t.Errorf("%s: %s lies there; acknowledged was %s, begun %q", key, got, want, pending)
			}
			acked[key] = got
		}
		clear(begun)
		closeAll()
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d operations in %d rounds", total, rounds)
}

// killed runs the writer and kills it, and notes what it said.
func killed(t *testing.T, dir string, acked, begun map[string]string) (done int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "AWAN_TEST_OBJECTS="+dir)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	want := 150 + rand.IntN(200)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "begin":
			key, sum, _ := strings.Cut(rest, " ")
			begun[key] = sum
		case "done":
			acked[rest] = begun[rest]
			delete(begun, rest)
			if done++; done == want {
				_ = cmd.Process.Kill()
			}
		}
	}
	_ = cmd.Wait()
	if done < want {
		t.Fatalf("the writer ended by itself after %d operations", done)
	}
	for key := range begun { // what was begun on a name that never held anything
		if _, ok := acked[key]; !ok {
			acked[key] = "-"
		}
	}
	return done
}

func digest(t *testing.T, svc *bucket.Service, me *bucket.Caller, key string) string {
	t.Helper()
	c, err := svc.Get(context.Background(), me, &bucket.GetInput{Bucket: "kill", Key: key})
	if bucket.CodeOf(err) == "NoSuchKey" {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Body.Close() }()
	h := sha256.New()
	if n, err := io.Copy(h, c.Body); err != nil || n != c.Size {
		t.Fatal(n, c.Size, errors.Join(err, errors.New(key)))
	}
	return hex.EncodeToString(h.Sum(nil))
}
