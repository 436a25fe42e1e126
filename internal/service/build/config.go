package build

import (
	"slices"
	"strconv"
	"strings"
)

// ConfigOf makes an ImageConfig from the fields of an OCI image's config; exposed has keys like "8080/tcp".
func ConfigOf(user string, command, env []string, exposed map[string]struct{}) ImageConfig {
	c := ImageConfig{User: user, Command: command, Env: env}
	for p := range exposed {
		number, protocol, _ := strings.Cut(p, "/")
		if n, err := strconv.Atoi(number); err == nil && n > 0 && n < 1<<16 && (protocol == "" || protocol == "tcp") {
			c.Ports = append(c.Ports, n)
		}
	}
	slices.Sort(c.Ports)
	return c
}
