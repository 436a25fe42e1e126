package build

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// MachineEnv says where this machine gets packages from, as environment variables for build steps: the Go module proxy,
// the npm registry, the Python index and the Maven repository that its owner configured. Only what was configured is named, and nothing that
// holds a credential or lies on the loopback, which steps cannot reach.
func MachineEnv(ctx context.Context) []string {
	var out []string
	add := func(name, value string) {
		if value != "" && forSteps(value) {
			out = append(out, name+"="+value)
		}
	}
	if text, err := exec.CommandContext(ctx, "go", "env", "-changed", "-json").Output(); err == nil {
		var changed map[string]string
		if json.Unmarshal(text, &changed) == nil {
			for _, name := range []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE"} {
				add(name, changed[name])
			}
		}
	}
	if text, err := exec.CommandContext(ctx, "npm", "config", "get", "registry").Output(); err == nil {
		add("NPM_CONFIG_REGISTRY", strings.TrimSpace(string(text)))
	}
	for _, name := range []string{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "MAVEN_MIRROR_URL"} {
		add(name, os.Getenv(name))
	}
	return out
}

// forSteps tells whether every address in a list (separated as GOPROXY's is) may be told to build steps.
func forSteps(list string) bool {
	return !slices.ContainsFunc(strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == '|' || c == ' ' }), func(item string) bool {
		u, err := url.Parse(item)
		if err != nil || u.User != nil || u.Scheme == "file" {
			return true
		}
		ip := net.ParseIP(u.Hostname())
		return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	})
}
