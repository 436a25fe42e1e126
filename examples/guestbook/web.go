package main

import (
	"bytes"
	_ "embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"os"
	"time"
)

//go:embed page.html
var pageText string

// page shows the book; html/template escapes whatever people write.
var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"when": func(t time.Time) string { return t.Format("2 January 2006, 15:04 UTC") },
}).Parse(pageText))

func handler(book *Book) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, q *http.Request) { show(w, book, http.StatusOK, "", "", "") })
	mux.HandleFunc("POST /entries", func(w http.ResponseWriter, q *http.Request) {
		q.Body = http.MaxBytesReader(w, q.Body, 64<<10)
		if err := q.ParseForm(); err != nil {
			show(w, book, http.StatusRequestEntityTooLarge, "that was too long", "", "")
			return
		}
		name, text := q.PostForm.Get("name"), q.PostForm.Get("text")
		switch err := book.Add(name, text, time.Now()); {
		case errors.Is(err, errEmpty):
			show(w, book, http.StatusUnprocessableEntity, err.Error(), name, text)
		case err != nil:
			show(w, book, http.StatusInternalServerError, "your line could not be kept; please try again", name, text)
		default:
			http.Redirect(w, q, "/", http.StatusSeeOther)
		}
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	return mux
}

func show(w http.ResponseWriter, book *Book, status int, problem, name, text string) {
	host, _ := os.Hostname()
	var body bytes.Buffer
	err := page.Execute(&body, map[string]any{"Entries": book.Entries(), "Problem": problem, "Name": name, "Text": text,
		"Kept": book.Kept(), "Host": host})
	if err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

// logged writes a line per request.
func logged(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		began := time.Now()
		next.ServeHTTP(w, q)
		if q.URL.Path != "/healthz" {
			log.Info("request", "method", q.Method, "path", q.URL.Path, "ms", time.Since(began).Milliseconds())
		}
	})
}
