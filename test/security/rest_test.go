package security_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/bucket"
	"github.com/awancloud/awan/internal/service/log"
)

// proveS05 stores a text that can be recognised everywhere where tenants store bytes, and looks for it in every file of
// the data folder: in what is kept, in logs, in indexes.
func proveS05(t *testing.T) {
	w := boot(t, t.TempDir())
	const mark = "the-price-of-tea-in-china-2026"
	text := strings.Repeat(mark+" ", 5000)
	key, _, err := w.Ident.ByKey(t.Context(), w.admin["AWAN_ACCESS_KEY"])
	if err != nil {
		t.Fatal(err)
	}
	var who struct {
		ProjectID id.ID `json:"project_id"`
	}
	w.native(w.root(), "GET", "/whoami", nil, &who)
	me := &bucket.Caller{Principal: key}
	if _, err := w.Buckets.Create(t.Context(), me, "tea", bucket.BucketSpec{}, "", nil); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{mark, text, strings.Repeat(text, 20)} { // inline, packed, in a file of its own
		if _, err := w.Buckets.Put(t.Context(), me, &bucket.PutInput{Bucket: "tea", Key: "leaf", Body: strings.NewReader(body), Size: int64(len(body))}); err != nil {
			t.Fatal(err)
		}
	}
	w.image("library/tea:1", map[string]string{"tea.txt": text})
	upload := &call.Call{Kind: w.App.Component.D, Verb: "upload", Project: string(who.ProjectID), Principal: key,
		Stream: kind.Stream{Body: strings.NewReader(text), Emit: func(any) error { return nil }}}
	if _, err := w.Door.Do(t.Context(), upload); err != nil {
		t.Fatal(err)
	}
	for n := range 2000 { // more than a segment, so that there is a compressed one
		line := log.Line{At: time.Now().Add(time.Duration(n)), Instance: id.New(), Release: 1, Stream: "stdout", Text: text[:4000] + string(id.New())}
		if err := w.App.Logs.Append(who.ProjectID, "0123456789abcdef0123456789abcdef", []log.Line{line}); err != nil {
			t.Fatal(err)
		}
	}
	if err := filepath.WalkDir(w.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Contains(b, []byte(mark)) {
			t.Errorf("%s holds the text in the clear", strings.TrimPrefix(path, w.dir))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
