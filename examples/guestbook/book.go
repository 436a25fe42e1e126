package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// Entry is one line in the book.
type Entry struct {
	Name string    `json:"name"`
	Text string    `json:"text"`
	Time time.Time `json:"time"`
}

// Book holds the entries. Each one is written to the file before it is shown to anyone.
type Book struct {
	mu      sync.RWMutex
	entries []Entry
	file    *os.File // nil: in memory only
}

const (
	maxName = 60
	maxText = 1000
)

var errEmpty = errors.New("please write your name and a line")

// open reads the book in dir. A dir that is "" or cannot be written to gives a book in memory.
func open(dir string) (*Book, error) {
	if dir == "" {
		return &Book{}, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "entries.jsonl"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o640)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return &Book{}, nil
	}
	if err != nil {
		if pe := new(fs.PathError); errors.As(err, &pe) && strings.Contains(pe.Err.Error(), "read-only") {
			return &Book{}, nil
		}
		return nil, err
	}
	b := &Book{file: f}
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadBytes('\n')
		var e Entry
		if err == nil && json.Unmarshal(line, &e) == nil {
			b.entries = append(b.entries, e)
		}
		if errors.Is(err, io.EOF) { // a line without an end was being written when the machine stopped: it was never shown
			if len(line) > 0 {
				_, err = f.WriteString("\n")
				return b, err
			}
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// Kept tells whether entries outlive the process.
func (b *Book) Kept() bool { return b.file != nil }

// Add writes an entry.
func (b *Book) Add(name, text string, now time.Time) error {
	name, text = tidy(name, maxName), tidy(text, maxText)
	if name == "" || text == "" {
		return errEmpty
	}
	e := Entry{Name: name, Text: text, Time: now.UTC().Truncate(time.Second)}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file != nil {
		if _, err := b.file.Write(append(line, '\n')); err != nil {
			return err
		}
		if err := b.file.Sync(); err != nil {
			return err
		}
	}
	b.entries = append(b.entries, e)
	return nil
}

// Entries gives the last hundred, newest first.
func (b *Book) Entries() []Entry {
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := slices.Clone(b.entries[max(0, len(b.entries)-100):])
	slices.Reverse(out)
	return out
}

// tidy drops control characters and what is too long.
func tidy(s string, most int) string {
	s = strings.TrimSpace(strings.Map(func(c rune) rune {
		if c == '\n' || c == '\t' {
			return ' '
		}
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, s))
	if r := []rune(s); len(r) > most {
		s = string(r[:most])
	}
	return s
}
