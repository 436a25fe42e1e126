package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// pair is a variable; a list of them keeps its order.
type pair struct{ name, value string }

// place is the cloud as other tools must be told of it.
type place struct {
	client.Target
	host    string // HOST:PORT
	region  string
	cloud   string // the DNS domain
	caFile  string // the cloud's CA
	bundle  string // the system's CAs and the cloud's
	account string
}

func (s *session) envCmd() *cobra.Command {
	format := "shell"
	cmd := &cobra.Command{Use: "env", Short: "print what Terraform, SDKs, OpenStack and S3 clients need to use this cloud",
		Long: "Print variables and endpoints for Terraform, Huawei Cloud's SDKs, OpenStack's and S3 clients.",
		Example: examples(`eval "$(awan env)"`, "awan env --format terraform > provider.tf", "awan env --format json",
			"awan exec -- openstack token issue   # the same without touching your shell"), Args: cobra.NoArgs}
	cmd.Flags().Var(&choice{into: &format, of: []string{"shell", "terraform", "json"}}, "format", "for a shell, as a Terraform provider block, or as JSON")
	complete(cmd, "format", "shell", "terraform", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := s.place(cmd.Context())
		if err != nil {
			return err
		}
		var out bytes.Buffer
		switch format {
		case "terraform":
			p.terraform(&out)
		case "json":
			vars := map[string]string{}
			for _, v := range p.variables() {
				vars[v.name] = v.value
			}
			e := json.NewEncoder(&out)
			e.SetIndent("", "  ")
			if err := e.Encode(map[string]any{"variables": vars, "endpoints": p.endpoints(), "region": p.region, "cloud": p.cloud, "ca": p.caFile}); err != nil {
				return fail.Wrap(err, fail.Internal, "the variables cannot be written")
			}
		default:
			if p.AccessKey == "" {
				fmt.Fprintln(s.Stderr, "S3 clients need a key beside these: eval \"$(awan temporary-key)\", or a lasting one by awan access-key create")
			}
			for _, v := range p.variables() {
				fmt.Fprintf(&out, "export %s=%s\n", v.name, adminenv.Quote(v.value))
			}
		}
		_, err = s.Stdout.Write(out.Bytes())
		return err
	}
	return cmd
}

// place asks the cloud for what the credential does not say.
func (s *session) place(ctx context.Context) (*place, error) {
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	p := &place{Target: c.Target()}
	u, err := url.Parse(p.URL)
	if err != nil {
		return nil, fail.Wrap(err, fail.Invalid, "%q is no address", p.URL)
	}
	p.host = u.Host
	if u.Port() == "" {
		p.host += map[string]string{"http": ":80"}[u.Scheme]
		if u.Scheme == "https" {
			p.host += ":443"
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var v struct {
		Region string `json:"region"`
		Domain string `json:"domain"`
	}
	if err := c.Do(ctx, client.Request{Method: "GET", Path: "/version", Public: true}, &v); err != nil {
		return nil, err
	}
	p.region, p.cloud = v.Region, v.Domain
	p.account = p.Domain
	if p.account == "" || p.User == "" {
		var who struct{ User, Domain string }
		if err := c.Do(ctx, client.Request{Method: "GET", Path: "/whoami"}, &who); err != nil {
			return nil, err
		}
		p.account, p.User = who.Domain, who.User
	}
	return p, s.certificates(p)
}

// systemBundles are where systems keep the CAs they trust.
var systemBundles = [...]string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}

// certificates puts the cloud's CA, and a bundle of it with the system's, where other tools can read them. The files are
// named after their content, so they never change under a running tool.
func (s *session) certificates(p *place) error {
	if p.CA == "" {
		return nil
	}
	var err error
	p.caFile = p.CAFile
	if p.caFile == "" {
		p.caFile, err = s.keep("ca", []byte(p.CA))
	} else {
		p.caFile, err = filepath.Abs(p.caFile)
	}
	if err != nil {
		return err
	}
	var bundle []byte
	for _, path := range append([]string{s.Env("SSL_CERT_FILE")}, systemBundles[:]...) {
		if b, err := os.ReadFile(path); path != "" && err == nil {
			bundle = append(bytes.TrimRight(b, "\n"), '\n')
			break
		}
	}
	if !bytes.Contains(bundle, bytes.TrimSpace([]byte(p.CA))) {
		bundle = append(bundle, p.CA...)
	}
	p.bundle, err = s.keep("ca-bundle", bundle)
	return err
}

// keep writes a file named after its content into the cache.
func (s *session) keep(name string, content []byte) (string, error) {
	dir := s.Env("XDG_CACHE_HOME")
	if dir == "" && s.Env("HOME") != "" {
		dir = filepath.Join(s.Env("HOME"), ".cache")
	}
	if dir == "" {
		dir = os.TempDir()
	}
	dir = filepath.Join(dir, "awan")
	sum := sha256.Sum256(content)
	path := filepath.Join(dir, name+"-"+hex.EncodeToString(sum[:8])+".pem")
	if b, err := os.ReadFile(path); err == nil && bytes.Equal(b, content) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fail.Wrap(err, fail.Denied, "%s cannot be made", dir).Then("set XDG_CACHE_HOME to a folder that can be written")
	}
	f, err := os.CreateTemp(dir, "."+name+"-*")
	if err == nil {
		_, err = f.Write(content)
		if e := f.Close(); err == nil {
			err = e
		}
		if err == nil {
			err = os.Rename(f.Name(), path)
		}
	}
	if err != nil {
		return "", fail.Wrap(err, fail.Denied, "%s cannot be written", path)
	}
	return path, nil
}

// variables are what the tools read. Empty ones are left out.
func (p *place) variables() []pair {
	base := "https://" + p.host
	vars := []pair{
		{adminenv.URL, base}, {adminenv.CA, p.caFile}, {adminenv.Token, p.Token}, {adminenv.User, p.User}, {adminenv.Password, p.Password},
		{adminenv.Domain, p.account}, {adminenv.Project, p.Project}, {adminenv.AccessKey, p.AccessKey}, {adminenv.SecretKey, p.SecretKey},
		{"OS_AUTH_URL", base + "/v3"}, {"OS_IDENTITY_API_VERSION", "3"}, {"OS_REGION_NAME", p.region}, {"OS_CACERT", p.caFile},
	}
	if p.Password != "" || p.Token == "" {
		vars = append(vars, pair{"OS_USERNAME", p.User}, pair{"OS_PASSWORD", p.Password}, pair{"OS_USER_DOMAIN_NAME", p.account})
	} else {
		vars = append(vars, pair{"OS_AUTH_TYPE", "v3token"}, pair{"OS_TOKEN", p.Token})
	}
	vars = append(vars, []pair{
		{"OS_PROJECT_NAME", p.Project}, {"OS_PROJECT_DOMAIN_NAME", p.account},
		{"HW_ACCESS_KEY", p.AccessKey}, {"HW_SECRET_KEY", p.SecretKey}, {"HW_AUTH_URL", base + "/iam/v3"}, {"HW_CLOUD", p.cloud},
		{"HW_REGION_NAME", p.region}, {"HW_PROJECT_NAME", p.Project}, {"HW_DOMAIN_NAME", p.account}, {"HW_ENTERPRISE_PROJECT_ID", "0"},
	}...)
	if p.AccessKey == "" {
		if p.Token != "" {
			vars = append(vars, pair{"HW_AUTH_TOKEN", p.Token})
		} else {
			vars = append(vars, pair{"HW_USER_NAME", p.User}, pair{"HW_USER_PASSWORD", p.Password})
		}
	}
	vars = append(vars, []pair{
		{"AWS_ACCESS_KEY_ID", p.AccessKey}, {"AWS_SECRET_ACCESS_KEY", p.SecretKey}, {"AWS_REGION", p.region}, {"AWS_DEFAULT_REGION", p.region},
		{"AWS_ENDPOINT_URL_S3", base + "/s3"}, {"AWS_CA_BUNDLE", p.bundle},
		{"SSL_CERT_FILE", p.bundle}, {"REQUESTS_CA_BUNDLE", p.bundle}, {"CURL_CA_BUNDLE", p.bundle}, {"GIT_SSL_CAINFO", p.bundle}, {"NODE_EXTRA_CA_CERTS", p.caFile},
	}...)
	var out []pair
	for _, v := range vars {
		if v.value != "" {
			out = append(out, v)
		}
	}
	return out
}

// services are the keys of the Terraform provider's endpoints.
var services = [...]string{"iam", "sts", "iam_global", "eps", "bss", "tms", "ecs", "ims", "evs", "vpc", "elb", "dns", "kms", "rds", "dcs", "swr", "cce", "cbr",
	"servicestage", "cse", "fgs", "cts", "lts", "ces", "smn", "aom", "eg"}

// endpoints give a path prefix to every service. The object store's cannot be an address: the provider puts the bucket
// before the host, so it needs a name, and the cloud as HTTP proxy or wildcard DNS.
func (p *place) endpoints() map[string]string {
	out := map[string]string{}
	for _, name := range services {
		prefix := name
		if name == "iam_global" {
			prefix = "iam"
		}
		out[name] = "https://" + p.host + "/" + prefix + "/"
	}
	if p.cloud != "" {
		out["obs"] = "https://obs." + p.region + "." + p.cloud
	}
	return out
}

// terraform writes the provider's block.
func (p *place) terraform(b *bytes.Buffer) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "  %-21s = %s\n", name, hcl(value))
		}
	}
	b.WriteString("provider \"huaweicloud\" {\n")
	line("region", p.region)
	if p.AccessKey != "" {
		line("access_key", p.AccessKey)
		line("secret_key", p.SecretKey)
	} else if p.Token != "" {
		line("token", p.Token)
	} else {
		line("user_name", p.User)
		line("password", p.Password)
	}
	line("project_name", p.Project)
	line("domain_name", p.account)
	line("auth_url", "https://"+p.host+"/iam/v3")
	line("cloud", p.cloud)
	line("enterprise_project_id", "0")
	b.WriteString("  max_retries           = 1\n  endpoints = {\n")
	ends := p.endpoints()
	for _, name := range append(services[:], "obs") {
		if ends[name] != "" {
			fmt.Fprintf(b, "    %-12s = %s\n", name, hcl(ends[name]))
		}
	}
	b.WriteString("  }\n}\n")
	if p.bundle != "" {
		fmt.Fprintf(b, "# Run terraform with SSL_CERT_FILE=%s, or as: awan exec -- terraform apply\n", p.bundle)
	}
}

// hcl quotes a string for Terraform.
func hcl(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", "$${", "%{", "%%{", "\n", `\n`).Replace(s) + `"`
}
