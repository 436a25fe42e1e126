package client

import (
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/awancloud/awan/internal/adminenv"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// Finder is where to look for a cloud.
type Finder struct {
	Data    string // --data
	Profile string // --profile
	Default string // the data folder that awan up uses when it is told none; looked at last
	Config  string // config.json of awan login
	Env     func(string) string
}

// Find looks for the cloud, in order: the data folder, the environment, the profile of awan login, and the data folder
// that awan up uses by default.
func (f Finder) Find() (Target, error) {
	switch {
	case f.Data != "":
		return fromData(f.Data)
	case f.Profile == "" && f.Env(adminenv.URL) != "":
		return f.fromEnv()
	}
	p, err := ReadProfiles(f.Config)
	if err != nil {
		return Target{}, err
	}
	name := f.Profile
	if name == "" {
		name = p.Current
	}
	if t, ok := p.Profiles[name]; ok {
		t.Origin = "profile " + name
		return t, nil
	}
	if f.Profile != "" {
		return Target{}, fail.Field("profile", "there is no profile %q", f.Profile).Then("awan login URL --profile %s", f.Profile)
	}
	if _, err := os.Stat(filepath.Join(f.Default, adminenv.File)); f.Default != "" && err == nil {
		return fromData(f.Default)
	}
	return Target{}, fail.New(fail.Unauthenticated, "no cloud is known here").
		Then("start one with: awan up; or log in to one: awan login https://HOST:PORT; or say --data DIR")
}

func fromData(dir string) (Target, error) {
	vars, err := adminenv.Read(filepath.Join(dir, adminenv.File))
	if err != nil {
		e := fail.From(err)
		if e.Kind == fail.NotFound {
			_ = e.Then("is %s the --data of a cloud that was started once? start it with: awan up --data %s", dir, dir)
		}
		return Target{}, e
	}
	t := fromVars(func(name string) string { return vars[name] })
	t.Origin = "--data " + dir
	if b, err := os.ReadFile(filepath.Join(dir, "listen")); err == nil { // newer than admin.env when the port changed
		t.URL = "https://" + dialable(strings.TrimSpace(string(b)))
	}
	if b, err := os.ReadFile(filepath.Join(dir, "ca.pem")); err == nil {
		t.CA, t.CAFile = string(b), filepath.Join(dir, "ca.pem")
	} else if err := readCA(&t); err != nil {
		return Target{}, err
	}
	if t.URL == "" {
		return Target{}, fail.New(fail.Unavailable, "%s does not say where its cloud listens", dir).Then("start it with: awan up --data %s", dir)
	}
	return t, nil
}

// dialable turns the address of a listener into one to connect to.
func dialable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

func (f Finder) fromEnv() (Target, error) {
	t := fromVars(f.Env)
	t.Origin = "the environment"
	return t, readCA(&t)
}

func fromVars(get func(string) string) Target {
	return Target{URL: get(adminenv.URL), CA: get(adminenv.CA), Token: get(adminenv.Token), User: get(adminenv.User), Password: get(adminenv.Password),
		Domain: get(adminenv.Domain), Project: get(adminenv.Project), AccessKey: get(adminenv.AccessKey), SecretKey: get(adminenv.SecretKey)}
}

// readCA turns a path in t.CA into the PEM.
func readCA(t *Target) error {
	if t.CA == "" || strings.Contains(t.CA, "-----BEGIN") {
		return nil
	}
	b, err := os.ReadFile(t.CA)
	if err != nil {
		return fail.Wrap(err, fail.NotFound, "%s, which %s names, cannot be read", t.CA, adminenv.CA)
	}
	t.CA, t.CAFile = string(b), t.CA
	return nil
}
