package security_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// weakImports are packages whose use must be explained, with why.
func weakImports() map[string]string {
	return map[string]string{
		"crypto/des":                    "DES and 3DES are broken",
		"crypto/rc4":                    "RC4 is broken",
		"crypto/md5":                    "MD5 collides",
		"crypto/sha1":                   "SHA-1 collides",
		"crypto/dsa":                    "DSA is withdrawn",
		"golang.org/x/crypto/md4":       "MD4 is broken",
		"golang.org/x/crypto/ripemd160": "no modern use",
		"golang.org/x/crypto/blowfish":  "64-bit blocks",
		"golang.org/x/crypto/cast5":     "64-bit blocks",
		"golang.org/x/crypto/tea":       "64-bit blocks",
		"golang.org/x/crypto/xtea":      "64-bit blocks",
		"golang.org/x/crypto/salsa20":   "use an authenticated cipher",
		"golang.org/x/crypto/pbkdf2":    "passwords are hashed with Argon2id",
		"golang.org/x/crypto/bcrypt":    "passwords are hashed with Argon2id",
		"github.com/tjfoc/gmsm/sm3":     "not a primitive of this product",
	}
}

// weakCalls are functions that lead to ECB, to ciphers without authentication, or past certificate checks.
func weakCalls() map[string]string {
	return map[string]string{
		"cipher.NewCBCEncrypter": "CBC does not authenticate", "cipher.NewCBCDecrypter": "CBC does not authenticate",
		"cipher.NewCFBEncrypter": "CFB does not authenticate", "cipher.NewCFBDecrypter": "CFB does not authenticate",
		"cipher.NewOFB": "OFB does not authenticate", "cipher.NewCTR": "CTR does not authenticate",
		"rsa.EncryptPKCS1v15": "PKCS #1 v1.5 encryption leaks", "rsa.DecryptPKCS1v15": "PKCS #1 v1.5 encryption leaks",
	}
}

// allowed are the places where one of them is right, with why. One whose file no longer needs it fails the test.
func allowed() map[string]string {
	return map[string]string{
		"internal/service/bucket/sum.go crypto/md5":                     "the ETag and Content-MD5 of S3 and OBS: a checksum against accidents, and part of the protocol",
		"internal/service/bucket/sum.go crypto/sha1":                    "one of S3's checksums, against accidents",
		"internal/service/disk/sums.go crypto/md5":                      "Glance's checksum of images: against accidents, and part of the protocol; SHA-256 and SHA-512 stand beside it",
		"internal/dialect/s3/sign/v2.go crypto/sha1":                    "HMAC-SHA1 of version 2 and OBS, which Huawei's SDK and Terraform sign with; collisions do not weaken it",
		"internal/dialect/openstack/keystone/oauth1sign.go crypto/sha1": "HMAC-SHA1 of OAuth 1.0a, which Keystone's clients sign with; collisions do not weaken it, and HMAC-SHA256 is taken too",
		"internal/dialect/huawei/elb/flavors.go crypto/md5":             "makes ids of names, nothing secret: as Huawei's flavours have them",
		"internal/dialect/huawei/ecs/change.go crypto/sha1":             "what Terraform's provider keeps of user data: compared, never trusted",
		"internal/engine/disk/file/luks.go crypto/aes alone":            "given to XTS, LUKS's mode, by golang.org/x/crypto/xts",
		"internal/service/balancer/certificate.go crypto/sha1":          "the fingerprint that ELB's and Octavia's clients show, beside a SHA-256 check",
		"internal/service/balancer/proxy/health.go InsecureSkipVerify":  "a health check asks whether a member answers, as ELB and Octavia do; it sends nothing and believes nothing",
		"internal/service/balancer/proxy/http.go InsecureSkipVerify":    "members of a tenant's own pool have certificates of their own making, as ELB and Octavia allow; the VPC lets nobody stand between",
		"internal/cli/objectsync.go crypto/md5":                         "compares local files with ETags, which are MD5",
		"internal/cli/client/trust.go InsecureSkipVerify":               "asks an unknown cloud for its CA; the chain is checked afterwards, the fingerprint by a person",
	}
}

func proveS02(t *testing.T) {
	root := moduleRoot(t)
	left := allowed()
	files := 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (notSource(root, name) || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		files++
		for what, why := range findings(f) {
			key := filepath.ToSlash(rel) + " " + what
			if _, ok := allowed()[key]; ok {
				delete(left, key)
				continue
			}
			t.Errorf("%s uses %s: %s", filepath.ToSlash(rel), what, why)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 5 {
		t.Fatalf("only %d files were looked at", files)
	}
	for key, why := range left {
		file, _, _ := strings.Cut(key, " ")
		if _, err := os.Stat(filepath.Join(root, file)); err != nil {
			continue
		}
		t.Errorf("the allowance %q (%s) is not needed any more", key, why)
	}
}

// findings gives what in a file needs an explanation.
func findings(f *ast.File) map[string]string {
	found := map[string]string{}
	imports := map[string]bool{}
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		imports[p] = true
		if why, ok := weakImports()[p]; ok {
			found[p] = why
		}
	}
	if imports["crypto/aes"] && !imports["crypto/cipher"] {
		found["crypto/aes alone"] = "a block cipher without a mode is ECB"
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok {
				if why, ok := weakCalls()[pkg.Name+"."+n.Sel.Name]; ok {
					found[pkg.Name+"."+n.Sel.Name] = why
				}
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "InsecureSkipVerify" {
				found["InsecureSkipVerify"] = "whoever stands between can then answer"
			}
		}
		return true
	})
	return found
}

// TestPrimitiveScanFinds keeps S02 honest: the scan must find each kind of weakness when it is there.
func TestPrimitiveScanFinds(t *testing.T) {
	for text, want := range map[string]string{
		`import "crypto/md5"; var _ = md5.New`:                              "crypto/md5",
		`import "crypto/aes"; var _ = aes.NewCipher`:                        "crypto/aes alone",
		`import "crypto/cipher"; var _ = cipher.NewCBCEncrypter`:            "cipher.NewCBCEncrypter",
		`import "crypto/tls"; var _ = tls.Config{InsecureSkipVerify: true}`: "InsecureSkipVerify",
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x; "+text, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := findings(f)[want]; !ok {
			t.Errorf("%s: %v", text, findings(f))
		}
	}
}

// notSource tells whether a folder holds none of our sources: a cloud that make run started has its data in the checkout.
func notSource(root, name string) bool {
	base := filepath.Base(name)
	return name == filepath.Join(root, "data") || base == "node_modules" || name != root && strings.HasPrefix(base, ".")
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}
