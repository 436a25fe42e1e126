package build

import (
	"context"
	"io"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// Git brings sources from repositories of others, and keeps the cloud's own. Methods are safe for concurrent use. What
// comes from outside is read by confined programs, never by this process.
type Git interface {
	// Fetch writes the source at a repository's ref to file, as a tar. Calling it again is allowed at any time.
	Fetch(ctx context.Context, fetch id.ID, from Repository, file string, log func(line string)) (Commit, error)
	// Advertise writes what a client is told first: the refs there are. service is "git-upload-pack" or
	// "git-receive-pack", protocol what the client's Git-Protocol header says.
	Advertise(ctx context.Context, own Own, service, protocol string, out io.Writer) error
	// Upload answers a clone or fetch.
	Upload(ctx context.Context, own Own, protocol string, in io.Reader, out io.Writer) error
	// Receive answers a push. decide is called once the objects have come and before any ref changes; an error refuses
	// the push, and nothing of it is kept.
	Receive(ctx context.Context, own Own, in io.Reader, out io.Writer, decide func(context.Context, Push) error) error
	// Remove takes a repository away, or with an empty name all of a project's. Absent is success.
	Remove(ctx context.Context, project id.ID, name string) error
	// Projects lists those that have repositories here.
	Projects(ctx context.Context) ([]id.ID, error)
}

// Own names a repository that the cloud keeps. It is made by the first push.
type Own struct {
	Project id.ID
	Name    string
	Branch  string // what a clone checks out
	Most    int64  // bytes that all repositories of the project may take; 0 is no bound
}

// Push is what somebody sends.
type Push interface {
	// Updates are the refs that it changes.
	Updates() []Update
	// Say shows a line to who pushes, at once.
	Say(line string)
	// Source writes the tree of a pushed commit to file, as a tar, and says what the commit is.
	Source(commit, file string) (Commit, error)
}

// Update is a change of one ref. An id of zeros means that it is not there.
type Update struct{ Old, New, Ref string }

// Deletes tells whether the update takes the ref away.
func (u Update) Deletes() bool { return strings.Trim(u.New, "0") == "" }

// Repository is one of somebody else.
type Repository struct {
	URL, Ref, Path string // Ref "" is the default branch, Path "" the whole tree
	Credential     *Access
}

// Access is what opens a repository or a registry, in clear.
type Access struct{ Username, Password, PrivateKey, KnownHosts, CA string }

// Commit is one state of a repository.
type Commit struct{ ID, Ref, Subject string }

// String is how releases show it: "abc1234 main: message".
func (c Commit) String() string {
	if c.ID == "" {
		return ""
	}
	s := c.ID[:min(7, len(c.ID))]
	if c.Ref != "" && c.Ref != c.ID {
		s += " " + c.Ref
	}
	if c.Subject != "" {
		s += ": " + c.Subject
	}
	return s
}

var (
	refPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./@+-]*$`)
	scpLike    = regexp.MustCompile(`^([A-Za-z0-9_.-]+)@([A-Za-z0-9.-]+):([^/].*)$`)
)

// CheckRepository refuses addresses that are not fetched, and gives the address in the form "scheme://…" with its host.
func CheckRepository(address, ref, folder string) (*url.URL, error) {
	if m := scpLike.FindStringSubmatch(address); m != nil {
		address = "ssh://" + m[1] + "@" + m[2] + "/" + m[3]
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || strings.ContainsAny(address, "\x00\n\r ") {
		return nil, fail.Field("spec.source.git.url", "%q is not the address of a repository", address).Then("write https://HOST/PATH or ssh://USER@HOST/PATH")
	}
	if u.Scheme != "https" && u.Scheme != "ssh" {
		return nil, fail.Field("spec.source.git.url", "repositories are not fetched by %q", u.Scheme).Then("use https:// or ssh://")
	}
	if _, has := u.User.Password(); has || u.Scheme == "https" && u.User != nil {
		return nil, fail.Field("spec.source.git.url", "must not hold a user or a password").Then("keep them in a credential: awan credential create NAME --host %s --username USER --password @FILE", u.Hostname())
	}
	if u.Scheme == "ssh" && u.User.Username() == "" {
		return nil, fail.Field("spec.source.git.url", "says no user").Then("write ssh://git@HOST/PATH")
	}
	if strings.HasPrefix(u.Hostname(), "-") || strings.HasPrefix(u.User.Username(), "-") {
		return nil, fail.Field("spec.source.git.url", "%q is not the address of a repository", address)
	}
	if ref != "" && (!refPattern.MatchString(ref) || strings.Contains(ref, "..")) {
		return nil, fail.Field("spec.source.git.ref", "%q is not a branch, a tag or a commit", ref)
	}
	if folder != "" && (path.Clean(folder) != folder || path.IsAbs(folder) || folder == "." || folder == ".." || strings.HasPrefix(folder, "../") || strings.ContainsAny(folder, "\x00\n:")) {
		return nil, fail.Field("spec.source.git.path", "%q is not a folder inside the repository", folder).Then("write it as sub/folder")
	}
	return u, nil
}
