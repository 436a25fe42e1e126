package s3_test

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// tool runs programs that people use, each in path style on the cloud's address.
type tool struct {
	t   *testing.T
	c   *cloudtest.Cloud
	dir string
	env []string
}

func tools(t *testing.T, program string) *tool {
	t.Helper()
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("not run: AWAN_LONG=1 is needed")
	}
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("not run: %s is not installed (Debian: apt install %s)", program, strings.Replace(program, "aws", "awscli", 1))
	}
	c := cloudtest.Start(t)
	dir := t.TempDir()
	data := make([]byte, 20<<20)
	must[int](t)(rand.Read(data))
	ok(t, os.MkdirAll(filepath.Join(dir, "tree/sub dir"), 0o700))
	ok(t, os.WriteFile(filepath.Join(dir, "tree/big"), data, 0o600))
	ok(t, os.WriteFile(filepath.Join(dir, "tree/sub dir/a+b ü.txt"), []byte("hello\n"), 0o600))
	ok(t, os.WriteFile(filepath.Join(dir, "tree/empty"), nil, 0o600))
	return &tool{t, c, dir, append(os.Environ(), "HOME="+dir, "AWS_ACCESS_KEY_ID="+c.Admin.AccessKey, "AWS_SECRET_ACCESS_KEY="+c.Admin.SecretKey, "AWS_DEFAULT_REGION=awan-1",
		"AWS_CA_BUNDLE="+c.CAFile, "AWS_ENDPOINT_URL="+c.URL, "AWS_EC2_METADATA_DISABLED=true")}
}

func (o *tool) run(args ...string) string {
	o.t.Helper()
	cmd := exec.CommandContext(o.t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Env = o.dir, o.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// same tells whether what came back is what went.
func (o *tool) same(back string) {
	o.t.Helper()
	o.run("diff", "-r", "tree", back)
}

func TestAWSCommand(t *testing.T) {
	o := tools(t, "aws")
	aws := func(args ...string) string { return o.run(append([]string{"aws", "--endpoint-url", o.c.URL}, args...)...) }
	aws("s3", "mb", "s3://cli")
	aws("s3", "sync", "tree", "s3://cli/t")
	if l := aws("s3", "ls", "--recursive", "s3://cli"); !strings.Contains(l, "t/sub dir/a+b ü.txt") || !strings.Contains(l, "20971520 t/big") {
		t.Errorf("listed %s", l)
	}
	aws("s3", "cp", "--recursive", "s3://cli/t", "back")
	o.same("back")
	aws("s3", "mv", "s3://cli/t/big", "s3://cli/moved")
	aws("s3api", "put-bucket-versioning", "--bucket", "cli", "--versioning-configuration", "Status=Enabled")
	if v := aws("s3api", "get-bucket-versioning", "--bucket", "cli"); !strings.Contains(v, "Enabled") {
		t.Errorf("versioning: %s", v)
	}
	aws("s3api", "put-object-tagging", "--bucket", "cli", "--key", "moved", "--tagging", "TagSet=[{Key=a,Value=b}]")
	aws("s3api", "put-bucket-lifecycle-configuration", "--bucket", "cli", "--lifecycle-configuration",
		`{"Rules":[{"ID":"x","Status":"Enabled","Filter":{"Prefix":"tmp/"},"Expiration":{"Days":7}}]}`)
	if v := aws("s3api", "get-bucket-lifecycle-configuration", "--bucket", "cli"); !strings.Contains(v, `"Days": 7`) {
		t.Errorf("lifecycle: %s", v)
	}
	link := strings.TrimSpace(aws("s3", "presign", "s3://cli/moved"))
	if n := o.run("curl", "-sS", "--cacert", o.c.CAFile, "-o", "/dev/null", "-w", "%{http_code} %{size_download}", link); n != "200 20971520" {
		t.Errorf("link %s: %s", link, n)
	}
	aws("s3", "rm", "--recursive", "s3://cli")
}

func TestS3cmd(t *testing.T) {
	o := tools(t, "s3cmd")
	s3cmd := func(args ...string) string {
		return o.run(append([]string{"s3cmd", "--no-progress", "--host", o.c.Addr, "--host-bucket", o.c.Addr, "--ca-certs", o.c.CAFile, "--region", "awan-1",
			"--access_key", o.c.Admin.AccessKey, "--secret_key", o.c.Admin.SecretKey}, args...)...)
	}
	s3cmd("mb", "s3://cmd")
	s3cmd("sync", "tree/", "s3://cmd/t/")
	s3cmd("sync", "s3://cmd/t/", "back/")
	o.same("back")
	s3cmd("--signature-v2", "put", "tree/sub dir/a+b ü.txt", "s3://cmd/v2")
	s3cmd("setacl", "--acl-private", "s3://cmd/v2")
	if v := s3cmd("info", "s3://cmd/v2"); !strings.Contains(v, "FULL_CONTROL") {
		t.Errorf("info: %s", v)
	}
	s3cmd("del", "--recursive", "--force", "s3://cmd/")
	s3cmd("rb", "s3://cmd")
}

func TestRclone(t *testing.T) {
	o := tools(t, "rclone")
	for _, provider := range []string{"Other", "HuaweiOBS"} {
		t.Run(provider, func(t *testing.T) {
			name, back := "rc-"+strings.ToLower(provider), "back-"+provider
			rclone := func(args ...string) string {
				return o.run(append([]string{"rclone", "--ca-cert", o.c.CAFile, "--s3-provider", provider, "--s3-env-auth", "--s3-endpoint", o.c.URL, "--s3-region", "awan-1",
					"--s3-force-path-style"}, args...)...)
			}
			rclone("mkdir", ":s3:"+name)
			rclone("sync", "tree", ":s3:"+name+"/t", "--s3-upload-cutoff", "6M", "--s3-chunk-size", "5M")
			rclone("check", "tree", ":s3:"+name+"/t")
			rclone("copy", ":s3:"+name+"/t", back)
			o.t = t
			o.same(back)
			rclone("purge", ":s3:"+name)
		})
	}
}

func TestRestic(t *testing.T) {
	o := tools(t, "restic")
	o.env = append(o.env, "RESTIC_PASSWORD=secret", "RESTIC_REPOSITORY=s3:"+o.c.URL+"/restic/repo")
	restic := func(args ...string) string { return o.run(append([]string{"restic", "--cacert", o.c.CAFile}, args...)...) }
	restic("init")
	restic("backup", "tree")
	ok(t, os.WriteFile(filepath.Join(o.dir, "tree/more"), []byte("more"), 0o600))
	restic("backup", "tree")
	restic("check", "--read-data")
	restic("forget", "--keep-last", "1", "--prune")
	restic("check")
	restic("restore", "latest", "--target", "back")
	o.same("back/tree")
}
