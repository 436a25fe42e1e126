package secret_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/secret"
)

func sealer(t *testing.T, dir string) *secret.Sealer {
	t.Helper()
	s, err := secret.OpenSealer(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSeal(t *testing.T) {
	dir := t.TempDir()
	s := sealer(t, dir)
	plain, aad := []byte("database password"), []byte("app/1/env/PASSWORD")
	sealed, err := s.Seal("p1", plain, aad)
	if err != nil || bytes.Contains(sealed, plain) {
		t.Fatalf("%x, %v", sealed, err)
	}
	if again, _ := s.Seal("p1", plain, aad); bytes.Equal(again, sealed) {
		t.Error("sealing twice gives the same bytes: equal secrets would show")
	}
	if got, err := sealer(t, dir).Open("p1", sealed, aad); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("after a restart: %q, %v", got, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another project": func() ([]byte, error) { return s.Open("p2", sealed, aad) },
		"another field":   func() ([]byte, error) { return s.Open("p1", sealed, []byte("app/2/env/PASSWORD")) },
		"another cloud":   func() ([]byte, error) { return sealer(t, t.TempDir()).Open("p1", sealed, aad) },
		"cut short":       func() ([]byte, error) { return s.Open("p1", sealed[:len(sealed)-1], aad) },
		"nothing":         func() ([]byte, error) { return s.Open("p1", nil, aad) },
		"newer envelope":  func() ([]byte, error) { return s.Open("p1", append([]byte{9}, sealed[1:]...), aad) },
	} {
		if got, err := open(); err == nil {
			t.Errorf("%s opened it: %q", name, got)
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := s.Open("p1", changed, aad); err == nil {
			t.Fatalf("byte %d changed, and it still opens", i)
		}
	}
}

func TestMasterKeyRotation(t *testing.T) {
	dir := t.TempDir()
	sealed, err := sealer(t, dir).Seal("p", []byte("old"), nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "master.keys")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(hex.EncodeToString(bytes.Repeat([]byte{7}, 32)) + "\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s := sealer(t, dir)
	if got, err := s.Open("p", sealed, nil); err != nil || string(got) != "old" {
		t.Errorf("after a rotation: %q, %v", got, err)
	}
	if renewed, _ := s.Seal("p", []byte("old"), nil); bytes.Equal(renewed[:9], sealed[:9]) {
		t.Error("the new master key is not used")
	}
	if err := os.WriteFile(path, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.OpenSealer(dir); !fail.Is(err, fail.Precondition) {
		t.Errorf("a damaged master key file: %v", err)
	}
}

func TestRandomCredentials(t *testing.T) {
	for name, c := range map[string]struct {
		make func() string
		form string
	}{
		"token":      {secret.NewToken, `^[A-Za-z0-9_-]{43}$`},
		"access key": {secret.NewAccessKey, `^[A-Z0-9]{20}$`},
		"secret key": {secret.NewSecretKey, `^[A-Za-z0-9]{40}$`},
		"password":   {secret.NewPassword, `^[A-Za-z0-9]{24}$`},
	} {
		seen, all := map[string]bool{}, ""
		for range 200 {
			v := c.make()
			if !regexp.MustCompile(c.form).MatchString(v) || seen[v] {
				t.Fatalf("%s: %q", name, v)
			}
			seen[v] = true
			all += v
		}
		if !strings.ContainsAny(all, "9") || !strings.ContainsAny(all, "A") {
			t.Errorf("%s never uses the ends of its alphabet", name)
		}
	}
	if !secret.Equal("a", "a") || secret.Equal("a", "b") || secret.Equal("a", "") {
		t.Error("Equal is wrong")
	}
	if secret.Digest("a") == secret.Digest("b") {
		t.Error("Digest is wrong")
	}
}
