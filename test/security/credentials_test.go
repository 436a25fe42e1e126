package security_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// proveS16 boots two clouds and compares what they made up, then looks for credentials in the tree.
func proveS16(t *testing.T) {
	one, two := boot(t, t.TempDir()), boot(t, t.TempDir())
	for _, name := range []string{"AWAN_PASSWORD", "AWAN_ACCESS_KEY", "AWAN_SECRET_KEY"} {
		if a, b := one.admin[name], two.admin[name]; len(a) < 12 || a == b {
			t.Errorf("two clouds have %s %q and %q", name, a, b)
		}
	}
	if bytes.Equal(one.CA.Certificate(), two.CA.Certificate()) {
		t.Error("two clouds have the same CA")
	}
	secrets := map[string]bool{}
	for _, w := range []*whole{one, two} {
		for _, name := range []string{"AWAN_PASSWORD", "AWAN_SECRET_KEY"} {
			secrets[w.admin[name]] = true
		}
		w.private(t)
		for _, guess := range []string{"", "admin", "password", "awan", "changeme", "awan123"} {
			a := w.ask("POST", "/awan/v1/login", `{"domain":"`+w.admin["AWAN_DOMAIN"]+`","user":"admin","password":"`+guess+`"}`)
			if a.status != 401 && a.status != 400 {
				t.Errorf("a fresh cloud lets admin in with %q: %d", guess, a.status)
			}
		}
	}
	for _, w := range []*whole{one, two} { // the credential is in admin.env and nowhere else in clear
		err := filepath.WalkDir(w.dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || d.Name() == "admin.env" {
				return err
			}
			b, err := os.ReadFile(name)
			for s := range secrets {
				if bytes.Contains(b, []byte(s)) {
					t.Errorf("%s holds a credential in clear", name)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for where, what := range literals(t, moduleRoot(t)) {
		t.Errorf("%s: %s", where, what)
	}
}

// private: files that hold keys are for their owner only, and so is the folder.
func (w *whole) private(t *testing.T) {
	mode := func(name string) fs.FileMode {
		info, err := os.Stat(filepath.Join(w.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if m := mode("admin.env"); m != 0o600 {
		t.Errorf("admin.env has mode %o", m)
	}
	for _, folder := range []string{"ca", "keys"} {
		err := filepath.WalkDir(filepath.Join(w.dir, folder), func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if d.Type().IsRegular() && info.Mode().Perm()&0o077 != 0 && !strings.HasSuffix(name, ".crt") && !strings.HasSuffix(name, ".pem") {
				t.Errorf("%s has mode %o", name, info.Mode().Perm())
			}
			b, err := os.ReadFile(name)
			if !d.IsDir() && bytes.Contains(b, []byte("PRIVATE KEY")) && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s holds a private key and has mode %o", name, info.Mode().Perm())
			}
			if d.IsDir() {
				return nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

var (
	secretName = regexp.MustCompile(`(?i)(password|passwd|secret|token|api_?key|access_?key|credential)`)
	textSecret = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----\s*[A-Za-z0-9+/]{40}`)
	fileSecret = regexp.MustCompile(`(?im)^\s*[-"']?[a-z_]*(?:password|passwd|secret|token|access_key)["']?\s*[:=]\s*["']?([A-Za-z0-9+/_.-]{12,})["']?\s*,?\s*$`)
)

// innocent are literals beside such names that are no credentials, with why.
func innocent() map[string]string {
	return map[string]string{
		"internal/cloud/objects.go objectSecretVar AWAN_OBJECT_S3_SECRET_KEY": "the name of a variable",
	}
}

// literals finds credentials in the product's files: string constants under names of secrets, and private keys.
func literals(t *testing.T, root string) map[string]string {
	t.Helper()
	found, files := map[string]string{}, 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (notSource(root, name) || d.Name() == "testdata" || d.Name() == "test" || d.Name() == "bin"):
			return fs.SkipDir
		case !d.Type().IsRegular() || strings.HasSuffix(name, "_test.go") || d.Name() == "go.sum":
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Size() > 2<<20 {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		files++
		for what := range inFile(filepath.ToSlash(rel), b) {
			if _, ok := innocent()[filepath.ToSlash(rel)+" "+what]; !ok {
				found[filepath.ToSlash(rel)+" "+what] = "a credential in the tree? Make it at the first start, or explain it in innocent()"
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Fatalf("only %d files were looked at", files)
	}
	return found
}

func inFile(name string, b []byte) map[string]bool {
	found := map[string]bool{}
	if textSecret.Match(b) {
		found["private key"] = true
	}
	if !strings.HasSuffix(name, ".go") {
		for _, m := range fileSecret.FindAllSubmatch(b, -1) {
			if mixed(string(m[1])) {
				found[string(m[1])] = true
			}
		}
		return found
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, b, parser.SkipObjectResolution)
	if err != nil {
		return found
	}
	note := func(name string, value ast.Expr) {
		lit, ok := value.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING || !secretName.MatchString(name) {
			return
		}
		if s, err := strconv.Unquote(lit.Value); err == nil && mixed(s) {
			found[name+" "+s] = true
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, v := range n.Values {
				if i < len(n.Names) {
					note(n.Names[i].Name, v)
				}
			}
		case *ast.AssignStmt:
			for i, v := range n.Rhs {
				if i < len(n.Lhs) {
					switch l := n.Lhs[i].(type) {
					case *ast.Ident:
						note(l.Name, v)
					case *ast.SelectorExpr:
						note(l.Sel.Name, v)
					}
				}
			}
		case *ast.KeyValueExpr:
			switch k := n.Key.(type) {
			case *ast.Ident:
				note(k.Name, n.Value)
			case *ast.BasicLit:
				note(k.Value, n.Value)
			}
		}
		return true
	})
	return found
}

// mixed tells whether a string looks made up: long, one word, with digits and letters in it.
func mixed(s string) bool {
	return len(s) >= 8 && !strings.ContainsAny(s, " \n\t%<>{}/:") && strings.ContainsAny(s, "0123456789") && strings.ToLower(s) != strings.ToUpper(s)
}

// TestCredentialScanFinds keeps S16 honest: the scan must find credentials where there are some.
func TestCredentialScanFinds(t *testing.T) {
	for name, text := range map[string]string{
		"a.go":       `package x; const adminPassword = "hunter2hunter"`,
		"b.go":       `package x; var o = struct{SecretKey string}{SecretKey: "wJalrXUtnFEMI7K7MDENG"}`,
		"c.go":       `package x; func f() { token := "awt1.abcdef012345"; _ = token }`,
		"d.env":      "DB_PASSWORD=abc123def456ghi\n",
		"e.yaml":     "  secret: abc123def456ghi\n",
		"f.pem":      "-----BEGIN EC PRIVATE KEY-----\n" + strings.Repeat("M", 64) + "\n",
		"g/map.json": `{` + "\n" + `"access_key": "abc123def456ghi",` + "\n" + `}`,
	} {
		if len(inFile(name, []byte(text))) == 0 {
			t.Errorf("%s: nothing found in %s", name, text)
		}
	}
	if f := inFile("x.go", []byte(`package x; const passwordHint = "at least 8 characters"`)); len(f) > 0 {
		t.Errorf("found %v", f)
	}
}
