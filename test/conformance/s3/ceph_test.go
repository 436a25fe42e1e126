package s3_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/bucket"
	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// account makes a domain with a user who may do everything in it, and gives a key of hers.
func account(t testing.TB, c *cloudtest.Cloud, name string) (domain, access, secret string) {
	t.Helper()
	make := func(d *kind.Def, domain, name, spec string) kind.AnyRow {
		in := &call.Call{Kind: d, Verb: call.Create, Principal: ident.System(), Domain: domain, Spec: []byte(spec)}
		if domain == "" {
			in.Domain = string(c.Admin.DomainID)
		}
		if name != "" {
			in.Name = &name
		}
		return must[call.Reply](t)(c.Door.Do(t.Context(), in)).Row
	}
	k := c.Ident.Kinds
	id := string(make(k.Domain.D, "", name, `{}`).M().ID)
	make(k.Project.D, id, "awan-1", `{}`) // the one that buckets go to when nobody says
	make(k.User.D, id, "pat", `{}`)
	make(k.Grant.D, id, "", `{"policy":"full-access","user":"pat"}`)
	key := make(k.Key.D, id, "", `{"user":"pat"}`).(*kind.Row[ident.KeySpec, ident.KeyStatus])
	return id, key.Status.Access, key.Status.Secret
}

// unblocked makes buckets without a public access block, as the suite expects of a store from before 2023.
type unblocked struct{ bucket.API }

func (u unblocked) Create(ctx context.Context, c *bucket.Caller, name string, spec bucket.BucketSpec, canned string, enterprise *string) (*bucket.Row, error) {
	row, err := u.API.Create(ctx, c, name, spec, canned, enterprise)
	if err != nil {
		return row, err
	}
	return row, u.API.Change(ctx, c, name, "obs:bucket:PutBucketPublicAccessBlock", func(r *bucket.Row) error {
		r.Spec.PublicAccess = bucket.PublicAccess{AllowACLs: true, HonorACLs: true, AllowPolicy: true, HonorPolicy: true}
		return nil
	})
}

// TestCeph runs Ceph's s3-tests (github.com/ceph/s3-tests) against the cloud: AWAN_LONG=1, AWAN_S3TESTS the folder of a
// checkout, AWAN_S3TESTS_PYTHON a Python that has its requirements. What must pass is what is not named, with its
// reason, in testdata/ceph.txt.
func TestCeph(t *testing.T) {
	dir, python := os.Getenv("AWAN_S3TESTS"), os.Getenv("AWAN_S3TESTS_PYTHON")
	if os.Getenv("AWAN_LONG") == "" || dir == "" || python == "" {
		t.Skip("not run: AWAN_LONG=1, AWAN_S3TESTS and AWAN_S3TESTS_PYTHON are needed")
	}
	c := cloudtest.StartWith(t, func(b *bucket.Service) bucket.API { return unblocked{b} })
	ticks := time.NewTicker(time.Second) // the suite is longer than a clock may be off, and waits for locks to end
	defer ticks.Stop()
	go func() {
		for {
			select {
			case <-t.Context().Done():
				return
			case <-ticks.C:
				c.Clock.Add(time.Since(c.Clock.Now()))
			}
		}
	}()
	_, port, _ := strings.Cut(c.Addr, ":")
	var conf strings.Builder
	fmt.Fprintf(&conf, "[DEFAULT]\nhost = s3.awan-1.awan.test\nport = %s\nis_secure = True\nssl_verify = False\n[fixtures]\nbucket prefix = s3t-{random}-\niam name prefix = t-\niam path prefix = /t/\n", port)
	section := func(name, id, display, access, secret, more string) {
		fmt.Fprintf(&conf, "[%s]\ndisplay_name = %s\nuser_id = %s\nemail = %s@example.com\napi_name = awan-1\naccess_key = %s\nsecret_key = %s\n%s\n", name, display, id, strings.ReplaceAll(name, " ", ""), access, secret, more)
	}
	section("s3 main", string(c.Admin.DomainID), c.Admin.Domain, c.Admin.AccessKey, c.Admin.SecretKey, "kms_keyid = obs/default\nkms_keyid2 = obs/default")
	for _, name := range []string{"alt", "tenant", "iam", "iamroot", "iamalt"} {
		id, access, secret := account(t, c, name)
		section(map[string]string{"alt": "s3 alt", "tenant": "s3 tenant", "iam": "iam", "iamroot": "iam root", "iamalt": "iam alt root"}[name], id, name, access, secret, map[string]string{"tenant": "tenant = t"}[name])
	}
	conf.WriteString("[webidentity]\ntoken=x\naud=x\nsub=x\nazp=x\nuser_token=x\nthumbprint=x\nKC_REALM=x\n")
	work := t.TempDir()
	file := filepath.Join(work, "s3tests.conf")
	ok(t, os.WriteFile(file, []byte(conf.String()), 0o600))
	// Every name of the cloud leads to this machine.
	ok(t, os.WriteFile(filepath.Join(work, "sitecustomize.py"), []byte("import socket\nreal, connect = socket.getaddrinfo, socket.socket.connect\n"+
		"here = lambda host: '127.0.0.1' if str(host).endswith('.awan.test') else host\n"+
		"socket.getaddrinfo = lambda host, *a, **k: real(here(host), *a, **k)\n"+
		"socket.socket.connect = lambda self, to: connect(self, (here(to[0]),) + tuple(to[1:]) if isinstance(to, tuple) else to)\n"), 0o600))
	args := []string{"-m", "pytest", "-v", "-p", "no:cacheprovider", "--tb=line",
		// what waits for Ceph's own debug clock, or is Ceph's own and not S3's
		"-m", "not lifecycle_expiration and not lifecycle_transition and not cloud_transition and not cloud_restore and not bucket_logging and not iam_account and not iam_tenant and not iam_user and not iam_role and not iam_cross_account and not s3select and not sns and not checksum_rgw",
		"s3tests/functional/test_s3.py", "s3tests/functional/test_headers.py"}
	if only := os.Getenv("AWAN_S3TESTS_ONLY"); only != "" {
		args = append(args, "-k", only, "--tb=short")
	}
	cmd := exec.CommandContext(t.Context(), python, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "S3TEST_CONF="+file, "REQUESTS_CA_BUNDLE="+c.CAFile, "SSL_CERT_FILE="+c.CAFile, "PYTHONPATH="+work, "PYTHONWARNINGS=ignore")
	name := os.Getenv("AWAN_S3TESTS_LOG")
	if name == "" {
		name = filepath.Join(work, "log")
	}
	log := must[*os.File](t)(os.Create(name))
	cmd.Stdout, cmd.Stderr = log, log
	err := cmd.Run() // tests that fail are counted below
	t.Logf("pytest: %v", err)
	ok(t, log.Close())
	out := must[[]byte](t)(os.ReadFile(name))
	results := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^\S*::(\S+) (PASSED|FAILED|ERROR)`).FindAllStringSubmatch(string(out), -1) {
		results[m[2]] = append(results[m[2]], m[1])
	}
	counts, err := json.Marshal(map[string]int{"passed": len(results["PASSED"]), "failed": len(results["FAILED"]), "errors": len(results["ERROR"])})
	ok(t, err)
	t.Logf("s3-tests: %s", counts)
	if len(results["PASSED"]) == 0 {
		t.Fatalf("nothing ran: %s", out)
	}
	known := expected(t)
	for _, name := range append(results["FAILED"], results["ERROR"]...) {
		if !slices.Contains(known, name) {
			t.Errorf("%s fails and is not named in testdata/ceph.txt", name)
		}
	}
}

// expected are the tests that are known to fail, each with its reason behind a '#'.
func expected(t *testing.T) []string {
	f, err := os.Open("testdata/ceph.txt")
	ok(t, err)
	defer f.Close()
	var names []string
	for s := bufio.NewScanner(f); s.Scan(); {
		name, _, _ := strings.Cut(s.Text(), "#")
		names = append(names, strings.Fields(name)...)
	}
	return names
}
