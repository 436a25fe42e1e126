package network

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// metadata answers http://169.254.169.254 in one network: EC2's tree and OpenStack's. Who asks is known by the address.
func (s *Service) metadata(at place) http.Handler {
	m := &metadataServer{s: s, at: at, tokens: map[string]time.Time{}}
	stack, ec2 := http.NewServeMux(), http.NewServeMux() // their patterns overlap
	for _, p := range []string{"/openstack", "/openstack/{$}"} {
		stack.HandleFunc("GET "+p, m.text("2018-08-27\n2020-10-14\nlatest"))
	}
	for _, p := range []string{"/openstack/{version}", "/openstack/{version}/{$}"} {
		stack.HandleFunc("GET "+p, m.text("meta_data.json\nuser_data\nnetwork_data.json\nvendor_data.json\nvendor_data2.json\nsecuritykey\n"))
	}
	stack.HandleFunc("GET /openstack/{version}/{file}", m.openstack)
	ec2.HandleFunc("PUT /latest/api/token", m.token)
	ec2.HandleFunc("GET /{$}", m.versions)
	for _, p := range []string{"/{version}", "/{version}/{$}"} {
		ec2.HandleFunc("GET "+p, m.text("meta-data/\nuser-data\ndynamic/\n"))
	}
	ec2.HandleFunc("GET /{version}/user-data", m.with(func(w http.ResponseWriter, v view) { m.bytes(w, "application/octet-stream", v.UserData) }))
	ec2.HandleFunc("GET /{version}/meta-data/", m.ec2)
	ec2.HandleFunc("GET /{version}/meta-data", m.ec2)
	ec2.HandleFunc("GET /{version}/dynamic/{$}", m.text("instance-identity/\n"))
	ec2.HandleFunc("GET /{version}/dynamic/instance-identity/{$}", m.text("document\nsignature\ncertificate\n"))
	ec2.HandleFunc("GET /{version}/dynamic/instance-identity/{what}", m.identity)
	return m.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/openstack" || strings.HasPrefix(r.URL.Path, "/openstack/") {
			stack.ServeHTTP(w, r)
			return
		}
		ec2.ServeHTTP(w, r)
	}))
}

type metadataServer struct {
	s      *Service
	at     place
	mu     sync.Mutex
	tokens map[string]time.Time // until when
}

// view is a server with the port that it asks by.
type view struct {
	*Instance
	asker
}

// guard refuses what was relayed by a program that can be talked into asking for others (IMDSv2 refuses X-Forwarded-For),
// and a token that is not one.
func (m *metadataServer) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Forwarded-For") != "" {
			http.Error(w, "forwarded requests are not answered", http.StatusForbidden)
			return
		}
		if t := r.Header.Get("X-Aws-Ec2-Metadata-Token"); t != "" && !m.valid(t) {
			http.Error(w, "the token is unknown or has ended", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// token gives a session token, as IMDSv2 has it. Requests without one are answered too.
func (m *metadataServer) token(w http.ResponseWriter, r *http.Request) {
	ttl, err := strconv.Atoi(r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
	if err != nil || ttl < 1 || ttl > 21600 {
		http.Error(w, "X-aws-ec2-metadata-token-ttl-seconds must be from 1 to 21600", http.StatusBadRequest)
		return
	}
	var b [24]byte
	_, _ = rand.Read(b[:])
	t := base64.URLEncoding.EncodeToString(b[:])
	now := m.s.Now()
	m.mu.Lock()
	for old, until := range m.tokens {
		if now.After(until) || len(m.tokens) >= 10000 {
			delete(m.tokens, old)
		}
	}
	m.tokens[t] = now.Add(time.Duration(ttl) * time.Second)
	m.mu.Unlock()
	w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", strconv.Itoa(ttl))
	_, _ = w.Write([]byte(t))
}

func (m *metadataServer) valid(t string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	until, ok := m.tokens[t]
	return ok && !m.s.Now().After(until)
}

func (m *metadataServer) text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { m.bytes(w, "text/plain; charset=utf-8", []byte(s)) }
}

func (m *metadataServer) versions(w http.ResponseWriter, _ *http.Request) {
	m.bytes(w, "text/plain; charset=utf-8", []byte("1.0\n2009-04-04\nlatest"))
}

func (m *metadataServer) bytes(w http.ResponseWriter, typ string, b []byte) {
	if b == nil {
		http.Error(w, "there is none", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", typ)
	_, _ = w.Write(b)
}

// with finds who asks, or answers that nobody is known there.
func (m *metadataServer) with(f func(http.ResponseWriter, view)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if v, ok := m.view(w, r); ok {
			f(w, v)
		}
	}
}

func (m *metadataServer) view(w http.ResponseWriter, r *http.Request) (view, bool) {
	from, _ := net.ResolveTCPAddr("tcp", r.RemoteAddr)
	if from == nil {
		http.Error(w, "who asks is not known", http.StatusNotFound)
		return view{}, false
	}
	v, err := m.s.instanceAt(r.Context(), m.at, from)
	if err != nil {
		status := http.StatusNotFound
		if !fail.Is(err, fail.NotFound) {
			status = http.StatusServiceUnavailable
			m.s.Log.Warn("the metadata service cannot answer", "network", m.at.domain, "from", r.RemoteAddr, "err", err)
		}
		http.Error(w, fail.From(err).Public(), status)
		return view{}, false
	}
	return v, true
}

// instanceAt finds the server at an address of a network.
func (s *Service) instanceAt(ctx context.Context, at place, from net.Addr) (view, error) {
	a, err := s.whoAsks(ctx, at, from)
	if err != nil {
		return view{}, err
	}
	server, ok := id.Parse(a.port.Spec.Device)
	if !ok || s.Instance == nil {
		return view{}, fail.New(fail.NotFound, "no server has this address")
	}
	i, err := s.Instance(ctx, server)
	if err != nil {
		return view{}, err
	}
	if i.Project != at.project {
		return view{}, fail.New(fail.NotFound, "no server has this address")
	}
	return view{i, a}, nil
}

// openstack answers the files of OpenStack's tree.
func (m *metadataServer) openstack(w http.ResponseWriter, r *http.Request) {
	v, ok := m.view(w, r)
	if !ok {
		return
	}
	switch r.PathValue("file") {
	case "meta_data.json":
		m.json(w, metaData(v))
	case "user_data":
		m.bytes(w, "application/octet-stream", v.UserData)
	case "network_data.json":
		m.json(w, m.s.networkData(r.Context(), v))
	case "vendor_data.json", "vendor_data2.json":
		b := v.VendorData
		if len(b) == 0 || r.PathValue("file") == "vendor_data2.json" {
			b = []byte("{}")
		}
		m.bytes(w, "application/json", b)
	case "password":
		m.bytes(w, "text/plain", []byte{})
	case "securitykey":
		m.securityKey(w, r, v)
	default:
		http.NotFound(w, r)
	}
}

func (m *metadataServer) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// metaData is OpenStack's meta_data.json.
func metaData(v view) map[string]any {
	out := map[string]any{"uuid": v.ID.Dashed(), "name": v.Name, "hostname": v.Hostname, "availability_zone": v.Zone, "launch_index": v.LaunchIndex,
		"project_id": v.Project, "devices": []any{}, "meta": v.Metadata, "random_seed": seed(), "tags": v.Tags,
		"enterprise_project_id": cmp.Or(string(v.EnterpriseProject), "0")}
	if v.Metadata == nil {
		out["meta"] = map[string]string{}
	}
	public, keys := map[string]string{}, []map[string]string{}
	for _, name := range sortedKeys(v.Keys) {
		public[name] = v.Keys[name]
		keys = append(keys, map[string]string{"name": name, "type": "ssh", "data": v.Keys[name]})
	}
	out["public_keys"], out["keys"] = public, keys
	if v.AdminPassword != "" {
		out["admin_pass"] = v.AdminPassword
	}
	return out
}

func seed() string {
	var b [64]byte
	_, _ = rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// identity answers who a server is, signed, so that it can prove that to others.
func (m *metadataServer) identity(w http.ResponseWriter, r *http.Request) {
	v, ok := m.view(w, r)
	if !ok {
		return
	}
	doc, err := json.MarshalIndent(map[string]any{"instanceId": v.ID.Dashed(), "accountId": v.Domain, "projectId": v.Project, "region": m.s.Region,
		"availabilityZone": v.Zone, "imageId": v.ImageID.Dashed(), "instanceType": v.Flavor, "privateIp": first(v.port.Status.Addresses),
		"pendingTime": v.Created.UTC().Format(time.RFC3339), "version": "2017-09-30", "architecture": "x86_64"}, "", "  ")
	if err != nil {
		http.Error(w, "the document cannot be made", http.StatusInternalServerError)
		return
	}
	switch r.PathValue("what") {
	case "document":
		m.bytes(w, "application/json", doc)
	case "signature", "certificate":
		m.prove(w, r, doc)
	default:
		http.NotFound(w, r)
	}
}

// prove gives the signature of an identity document (base64 of an ASN.1 ECDSA signature of its SHA-256) or the certificate to
// verify it with, which the cloud's CA signed.
func (m *metadataServer) prove(w http.ResponseWriter, r *http.Request, doc []byte) {
	if m.s.Identity == nil {
		http.NotFound(w, r)
		return
	}
	id, err := m.s.Identity()
	if err != nil {
		m.s.Log.Error("an identity document cannot be signed", "err", err)
		http.Error(w, "the document cannot be signed", http.StatusInternalServerError)
		return
	}
	if r.PathValue("what") == "certificate" {
		m.bytes(w, "application/x-pem-file", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Certificate[0]}))
		return
	}
	sum := sha256.Sum256(doc)
	sig, err := id.PrivateKey.(crypto.Signer).Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		m.s.Log.Error("an identity document cannot be signed", "err", err)
		http.Error(w, "the document cannot be signed", http.StatusInternalServerError)
		return
	}
	m.bytes(w, "text/plain", []byte(base64.StdEncoding.EncodeToString(sig)))
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// securityKey gives temporary keys of the server's agency, as Huawei's clients ask for them.
func (m *metadataServer) securityKey(w http.ResponseWriter, r *http.Request, v view) {
	key, ok := m.credentials(w, r, v)
	if !ok {
		return
	}
	m.json(w, map[string]any{"credential": map[string]any{"access": key.Access, "secret": key.Secret, "securitytoken": key.Token,
		"expires_at": key.Expires.UTC().Format("2006-01-02T15:04:05.000000Z")}})
}
