package security_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/service/bucket"
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
