package git

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/build"
)

// Git LFS keeps large files beside the repository; in it are pointers. The ones in a fetched tree are replaced by what they
// point to, by the batch API (github.com/git-lfs/git-lfs, docs/api/batch.md), under the same rule for hosts as the fetch.
const (
	lfsPointer = "version https://git-lfs.github.com/spec/v1\n"
	maxPointer = 1024
	lfsJSON    = "application/vnd.git-lfs+json"
	lfsBatch   = 100 // objects asked for at once
)

type lfsObject struct {
	OID  string `json:"oid"`
	Size int64  `json:"size"`
}

var lfsFields = regexp.MustCompile(`(?m)^oid sha256:([0-9a-f]{64})$[\s\S]*^size ([0-9]{1,12})$`)

func parsePointer(text []byte) (o lfsObject, ok bool) {
	if !bytes.HasPrefix(text, []byte(lfsPointer)) {
		return o, false
	}
	m := lfsFields.FindSubmatch(text)
	if m == nil {
		return o, false
	}
	size, err := strconv.ParseInt(string(m[2]), 10, 64)
	return lfsObject{string(m[1]), size}, err == nil
}

// fillLFS gives the folder of the source.tar in which the pointers of dir's are replaced: dir itself when it has none.
func (e *Engine) fillLFS(ctx context.Context, dir string, u *url.URL, folder string, access *build.Access, log func(string)) (whole string, forget func(), err error) {
	forget = func() {}
	pointers, server, err := lfsIn(dir, folder != "")
	if err != nil || len(pointers) == 0 {
		return dir, forget, err
	}
	if u.Scheme != "https" {
		return "", forget, fail.Field("spec.source.git.url", "the repository keeps %d files with Git LFS, which come by https only", len(pointers)).
			Then("give the repository's https address, with a credential if it is private; or upload a folder in which the files are checked out: awan deploy DIR")
	}
	c := &lfsClient{repository: u, access: access}
	c.http = e.lfsTransport(access)
	base := strings.TrimSuffix(strings.TrimSuffix(u.String(), "/"), ".git") + ".git/info/lfs"
	if server != "" {
		base = strings.TrimSuffix(server, "/")
	}
	var wanted []lfsObject
	var total int64
	for _, p := range pointers {
		wanted = append(wanted, p)
		total += p.Size
	}
	if total > maxFetch {
		return "", forget, fail.New(fail.TooLarge, "the repository's Git LFS files have %d MiB, more than %d", total>>20, maxFetch>>20).Then("use a smaller one, or upload the folder")
	}
	own, err := os.MkdirTemp(e.o.Work, "lfs-") // not git's: nothing that git left may stand in for what we write
	if err != nil {
		return "", forget, fail.Wrap(err, fail.NoSpace, "there is no room for git to work in")
	}
	forget = func() { _ = os.RemoveAll(own) } // else the next start empties it
	log("fetching " + strconv.Itoa(len(wanted)) + " files from Git LFS")
	for len(wanted) > 0 {
		n := min(len(wanted), lfsBatch)
		if err := c.fetch(ctx, base, wanted[:n], own); err != nil {
			return "", forget, err
		}
		wanted = wanted[n:]
	}
	return own, forget, lfsRewrite(dir, own, pointers)
}

// lfsIn finds the pointers of a tree that says it has some, and the server that it names, if it does. Of a folder, what says so
// may lie above it.
func lfsIn(dir string, folder bool) (pointers map[string]lfsObject, server string, err error) {
	pointers, found := map[string]lfsObject{}, folder
	err = eachEntry(dir, func(h *tar.Header, r io.Reader) error {
		small := h.Typeflag == tar.TypeReg && h.Size <= maxPointer
		settings := h.Typeflag == tar.TypeReg && h.Size <= 1<<20 && (path.Base(h.Name) == ".gitattributes" || h.Name == ".lfsconfig")
		if !small && !settings {
			return nil
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if o, ok := parsePointer(text); ok {
			pointers[h.Name] = o
		}
		switch {
		case path.Base(h.Name) == ".gitattributes":
			found = found || strings.Contains(string(text), "filter=lfs")
		case h.Name == ".lfsconfig":
			if m := lfsServer.FindSubmatch(text); m != nil {
				server = string(m[1])
			}
		}
		return nil
	})
	if !found {
		return nil, "", err
	}
	return pointers, server, err
}

var lfsServer = regexp.MustCompile(`(?m)^\s*url\s*=\s*(https://\S+)\s*$`)

func eachEntry(dir string, f func(*tar.Header, io.Reader) error) error {
	in, err := take(dir, "source.tar")
	if err != nil {
		return fail.Wrap(err, fail.Internal, "git gave no source")
	}
	defer func() { _ = in.Close() }()
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = f(h, r)
		}
		if err != nil {
			return fail.Wrap(err, fail.Invalid, "the repository's tree cannot be read")
		}
	}
}

// lfsRewrite writes dir's tree anew into own, with what was fetched there in the place of pointers.
func lfsRewrite(dir, own string, pointers map[string]lfsObject) error {
	out, err := os.OpenFile(filepath.Join(own, "source.tar"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fail.Wrap(err, fail.NoSpace, "the source cannot be stored")
	}
	defer func() { _ = out.Close() }()
	w := tar.NewWriter(out)
	err = eachEntry(dir, func(h *tar.Header, r io.Reader) error {
		if h.Typeflag == tar.TypeXGlobalHeader {
			return nil
		}
		o, pointer := pointers[h.Name]
		if pointer {
			h.Size = o.Size
			f, err := os.Open(filepath.Join(own, o.OID))
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			r = f
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(w, r)
		return err
	})
	return errors.Join(err, w.Close())
}

// lfsTransport reaches what the operator lets sources come from, by https.
func (e *Engine) lfsTransport(access *build.Access) *http.Client {
	t := &http.Transport{DialContext: e.o.Dial, ResponseHeaderTimeout: time.Minute, TLSHandshakeTimeout: 30 * time.Second, DisableKeepAlives: true}
	if access != nil && access.CA != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		pool.AppendCertsFromPEM([]byte(access.CA))
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: t, Timeout: 10 * time.Minute, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if r.URL.Scheme != "https" || len(via) > 5 {
			return errors.New("not followed")
		}
		return nil
	}}
}

type lfsClient struct {
	http       *http.Client
	repository *url.URL
	access     *build.Access
}

// open sends the credential to the repository's own host only.
func (c *lfsClient) open(r *http.Request) {
	if r.URL.Host == c.repository.Host && c.access != nil && c.access.Password != "" && r.Header.Get("Authorization") == "" {
		user := c.access.Username
		if user == "" {
			user = "git"
		}
		r.SetBasicAuth(user, c.access.Password)
	}
}

func (c *lfsClient) do(ctx context.Context, method, at string, body io.Reader, header map[string]string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil || r.URL.Scheme != "https" {
		return nil, c.failed("names an address that is not https", err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	c.open(r)
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.failed("cannot be reached", err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return resp, nil
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		_ = resp.Body.Close()
		return nil, fail.Field("spec.source.git.credential", "the Git LFS server of %s does not let us in (%s)", c.repository.Redacted(), resp.Status).
			Then("name a credential that may read it: awan credential create NAME --host %s …", c.repository.Hostname())
	}
	_ = resp.Body.Close()
	return nil, c.failed("answers "+resp.Status, nil)
}

func (c *lfsClient) failed(what string, cause error) error {
	var known *fail.Error
	if errors.As(cause, &known) {
		return fail.Wrap(known, fail.Invalid, "the Git LFS server of %s %s", c.repository.Redacted(), what)
	}
	return fail.New(fail.Invalid, "the Git LFS server of %s %s", c.repository.Redacted(), what).Because(cause).
		Then("try again later, or upload a folder in which the files are checked out: awan deploy DIR")
}

// fetch brings some objects into dir, each under its id.
func (c *lfsClient) fetch(ctx context.Context, base string, objects []lfsObject, dir string) error {
	ask, err := json.Marshal(map[string]any{"operation": "download", "transfers": []string{"basic"}, "objects": objects, "hash_algo": "sha256"})
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodPost, base+"/objects/batch", bytes.NewReader(ask), map[string]string{"Accept": lfsJSON, "Content-Type": lfsJSON})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var told struct {
		Objects []struct {
			lfsObject
			Error   *struct{ Message string }
			Actions struct {
				Download struct {
					Href   string
					Header map[string]string
				}
			}
		}
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(&told); err != nil {
		return c.failed("answers no JSON", err)
	}
	where := map[string]int{}
	for i, o := range told.Objects {
		where[o.OID] = i
	}
	for _, o := range objects {
		i, ok := where[o.OID]
		if !ok || told.Objects[i].Error != nil || told.Objects[i].Actions.Download.Href == "" {
			return c.failed("does not have the object "+o.OID, nil)
		}
		d := told.Objects[i].Actions.Download
		if err := c.bring(ctx, d.Href, d.Header, o, filepath.Join(dir, o.OID)); err != nil {
			return err
		}
	}
	return nil
}

func (c *lfsClient) bring(ctx context.Context, href string, header map[string]string, o lfsObject, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil // two files of the same content
	}
	resp, err := c.do(ctx, http.MethodGet, href, nil, header)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fail.Wrap(err, fail.NoSpace, "the source cannot be stored")
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(resp.Body, o.Size+1))
	if err != nil {
		return c.failed("broke off", err)
	}
	if n != o.Size || hex.EncodeToString(h.Sum(nil)) != o.OID {
		return c.failed("gave something else for the object "+o.OID, nil)
	}
	return nil
}
