package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, q *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, q)
	return w
}

func post(name, text string) *http.Request {
	q := httptest.NewRequest("POST", "/entries", strings.NewReader(url.Values{"name": {name}, "text": {text}}.Encode()))
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return q
}

func TestSign(t *testing.T) {
	dir := t.TempDir()
	book, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	h := handler(book)
	if w := get(t, h, post("Siti", `<script>alert("hi")</script>`)); w.Code != http.StatusSeeOther {
		t.Fatalf("answer %d", w.Code)
	}
	body := get(t, h, httptest.NewRequest("GET", "/", nil)).Body.String()
	if strings.Contains(body, "<script>") || !strings.Contains(body, "&lt;script&gt;") || !strings.Contains(body, "Siti") {
		t.Errorf("not escaped, or not there:\n%s", body)
	}
	if w := get(t, h, post("  ", "x")); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("an empty name gave %d", w.Code)
	}
	if w := get(t, h, httptest.NewRequest("GET", "/healthz", nil)); w.Code != http.StatusOK {
		t.Errorf("health %d", w.Code)
	}
	if w := get(t, h, httptest.NewRequest("GET", "/elsewhere", nil)); w.Code != http.StatusNotFound {
		t.Errorf("elsewhere %d", w.Code)
	}
	again, err := open(dir)
	if err != nil || len(again.Entries()) != 1 || !again.Kept() {
		t.Errorf("after a restart: %v %v", again.Entries(), err)
	}
}

// TestTorn opens a book whose last line was cut by a crash.
func TestTorn(t *testing.T) {
	dir := t.TempDir()
	text := `{"name":"A","text":"whole","time":"2026-01-02T03:04:05Z"}` + "\n" + `{"name":"B","te`
	if err := os.WriteFile(filepath.Join(dir, "entries.jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	book, err := open(dir)
	if err != nil || len(book.Entries()) != 1 {
		t.Fatalf("%v %v", book, err)
	}
	if err := book.Add("C", "after", book.Entries()[0].Time); err != nil {
		t.Fatal(err)
	}
	if again, err := open(dir); err != nil || len(again.Entries()) != 2 {
		t.Errorf("%v %v", again.Entries(), err)
	}
}

func TestInMemory(t *testing.T) {
	book, err := open("")
	if err != nil || book.Kept() {
		t.Fatalf("%v %v", book, err)
	}
}
