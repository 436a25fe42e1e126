package network

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// ec2 answers EC2's tree below /VERSION/meta-data/.
func (m *metadataServer) ec2(w http.ResponseWriter, r *http.Request) {
	v, ok := m.view(w, r)
	if !ok {
		return
	}
	_, path, _ := strings.Cut(r.URL.Path, "/meta-data")
	path = strings.Trim(path, "/")
	if name, ok := strings.CutPrefix(path, "iam/security-credentials/"); ok {
		m.roleKey(w, r, v, name)
		return
	}
	values := ec2Values(v)
	if s, ok := values[path]; ok {
		m.bytes(w, "text/plain; charset=utf-8", []byte(s))
		return
	}
	if list := below(values, path); len(list) > 0 {
		m.bytes(w, "text/plain; charset=utf-8", []byte(strings.Join(list, "\n")))
		return
	}
	http.NotFound(w, r)
}

// ec2Values are the leaves of the tree.
func ec2Values(v view) map[string]string {
	ip := first(v.port.Status.Addresses)
	out := map[string]string{"ami-id": v.ImageID.Dashed(), "ami-launch-index": strconv.Itoa(v.LaunchIndex), "ami-manifest-path": "(unknown)",
		"instance-id": v.ID.Dashed(), "instance-type": v.Flavor, "instance-action": "none", "hostname": v.Hostname, "local-hostname": v.Hostname,
		"local-ipv4": ip, "mac": v.port.Status.MAC, "placement/availability-zone": v.Zone, "reservation-id": v.ID.Dashed(),
		"block-device-mapping/ami": "vda", "block-device-mapping/root": "/dev/vda", "security-groups": strings.Join(v.groups, "\n")}
	if v.public != "" {
		out["public-ipv4"], out["public-hostname"] = v.public, v.public
	}
	for i, name := range sortedKeys(v.Keys) {
		out["public-keys/"+strconv.Itoa(i)+"/openssh-key"] = v.Keys[name]
		out["public-keys/"+strconv.Itoa(i)] = "openssh-key"
		out["public-keys"] += strconv.Itoa(i) + "=" + name + "\n"
	}
	if len(v.Keys) > 0 {
		out["public-keys"] = strings.TrimSuffix(out["public-keys"], "\n")
	}
	for _, p := range v.ports {
		base := "network/interfaces/macs/" + p.Status.MAC + "/"
		out[base+"mac"], out[base+"local-ipv4s"] = p.Status.MAC, strings.Join(only(p.Status.Addresses, false), "\n")
		out[base+"interface-id"], out[base+"subnet-id"], out[base+"vpc-id"] = p.ID.Dashed(), p.Spec.Subnet, p.Status.VPC
		if six := only(p.Status.Addresses, true); len(six) > 0 {
			out[base+"ipv6s"] = strings.Join(six, "\n")
		}
	}
	if v.Agency != "" {
		out["iam/security-credentials"] = v.Agency
	}
	for k, s := range v.Tags {
		out["tags/instance/"+k] = s
	}
	return out
}

// only keeps the addresses of one family.
func only(list []string, v6 bool) []string {
	var out []string
	for _, a := range list {
		if addr(a).Is6() == v6 {
			out = append(out, a)
		}
	}
	return out
}

// below lists the names directly under a path; those that have more under them end in a slash.
func below(values map[string]string, path string) []string {
	if path != "" {
		path += "/"
	}
	seen := map[string]string{}
	for k := range values {
		rest, ok := strings.CutPrefix(k, path)
		if !ok || rest == "" {
			continue
		}
		name, more, deep := strings.Cut(rest, "/")
		if _, leaf := values[path+name]; deep && !leaf && more != "" {
			name += "/"
		}
		seen[name] = name
	}
	if _, ok := seen["public-keys"]; ok {
		delete(seen, "public-keys")
		seen["public-keys/"] = "public-keys/"
	}
	return sortedKeys(seen)
}

// credentials makes temporary keys for a server, when it has an agency and it is sure that the server itself asks.
func (m *metadataServer) credentials(w http.ResponseWriter, r *http.Request, v view) (ident.Temporary, bool) {
	switch {
	case v.Agency == "" || m.s.Credentials == nil:
		http.Error(w, "the server has no agency", http.StatusNotFound)
		return ident.Temporary{}, false
	case v.shared:
		http.Error(w, "another port may send from this address too, so keys are not given out here", http.StatusForbidden)
		return ident.Temporary{}, false
	}
	key, err := m.s.Credentials(r.Context(), v.Instance)
	if err != nil {
		m.s.Log.Warn("a server's keys cannot be made", "server", v.ID, "agency", v.Agency, "err", err)
		status := http.StatusServiceUnavailable
		if k := fail.KindOf(err); k == fail.Denied || k == fail.NotFound {
			status = http.StatusForbidden
		}
		http.Error(w, fail.From(err).Public(), status)
		return ident.Temporary{}, false
	}
	return key, true
}

// roleKey gives temporary keys as EC2's clients ask for them.
func (m *metadataServer) roleKey(w http.ResponseWriter, r *http.Request, v view, name string) {
	if name != v.Agency {
		http.NotFound(w, r)
		return
	}
	key, ok := m.credentials(w, r, v)
	if !ok {
		return
	}
	m.json(w, map[string]any{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": key.Access, "SecretAccessKey": key.Secret, "Token": key.Token,
		"LastUpdated": m.s.Now().UTC().Format(time.RFC3339), "Expiration": key.Expires.UTC().Format(time.RFC3339)})
}
