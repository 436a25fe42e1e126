package git

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/app"
)

// maxPayload bounds a webhook's body: GitHub's own bound.
const maxPayload = 25 << 20

// payload is what GitHub, GitLab and Gitea say of a push in the same words.
type payload struct {
	Ref        string
	After      string
	Repository struct {
		DefaultBranch string `json:"default_branch"`
	}
	Project struct { // GitLab's
		DefaultBranch string `json:"default_branch"`
	}
}

// sender tells which host a request comes from: how its signature is checked, and what it says happened.
func sender(r *http.Request, body []byte) (knows func(token string) bool, event string) {
	h := r.Header
	signed := func(signature string) func(string) bool {
		sent, err := hex.DecodeString(signature)
		return func(token string) bool {
			m := hmac.New(sha256.New, []byte(token))
			m.Write(body)
			return err == nil && hmac.Equal(m.Sum(nil), sent)
		}
	}
	switch {
	case h.Get("X-Gitea-Signature") != "": // before GitHub's, which Gitea sends too
		return signed(h.Get("X-Gitea-Signature")), h.Get("X-Gitea-Event")
	case h.Get("X-Hub-Signature-256") != "":
		return signed(strings.TrimPrefix(h.Get("X-Hub-Signature-256"), "sha256=")), h.Get("X-GitHub-Event")
	case h.Get("X-Gitlab-Token") != "":
		event = map[string]string{"Push Hook": "push", "Tag Push Hook": "push"}[h.Get("X-Gitlab-Event")]
		if event == "" {
			event = "other"
		}
		return app.SameToken(h.Get("X-Gitlab-Token")), event
	}
	token, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, ""
	}
	return func(t string) bool { return subtle.ConstantTimeCompare([]byte(t), []byte(token)) == 1 }, "call"
}

// hook redeploys a component from its git repository when a host tells of a push, or when somebody with a deploy token
// asks for it.
func (h *Handler) hook(w http.ResponseWriter, r *http.Request, project, name string) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return fail.New(fail.TooLarge, "the payload is larger than %d MiB", maxPayload>>20)
		}
		return fail.New(fail.Invalid, "the payload was cut short").Because(err)
	}
	knows, event := sender(r, body)
	if knows == nil {
		return fail.New(fail.Unauthenticated, "the hook needs a signature or a token").
			Then("give a deploy token as the secret of the webhook, or send it as Authorization: Bearer TOKEN")
	}
	p, row, err := h.App.Deployer(r.Context(), h.projectOf(r.Context(), "", project), name, knows)
	if err != nil {
		return err
	}
	branch, standard := "", ""
	switch event {
	case "call":
	case "push":
		text := body
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") { // GitHub's other form
			if form, err := url.ParseQuery(string(body)); err == nil && form.Get("payload") != "" {
				text = []byte(form.Get("payload"))
			}
		}
		var push payload
		if err := json.Unmarshal(text, &push); err != nil {
			return fail.New(fail.Invalid, "the payload is not JSON").Because(err)
		}
		standard = push.Repository.DefaultBranch
		if standard == "" {
			standard = push.Project.DefaultBranch
		}
		for _, kind := range []string{"refs/heads/", "refs/tags/"} {
			if b, ok := strings.CutPrefix(push.Ref, kind); ok {
				branch = b
			}
		}
		if branch == "" || strings.Trim(push.After, "0") == "" {
			return answer(w, http.StatusOK, "nothing to do: no branch and no tag was pushed", "")
		}
	default: // ping and the like
		return answer(w, http.StatusOK, "nothing to do for "+event, "")
	}
	from := call.Call{Principal: p, Source: auth.Source(r), Agent: r.UserAgent(), Dialect: "git", RequestID: r.Header.Get("X-Request-Id")}
	j, said, err := h.App.Redeploy(r.Context(), app.Pushing{Project: row.Project, Name: row.Name, From: from}, branch, standard)
	if err != nil {
		return err
	}
	if j == nil {
		status := http.StatusOK
		if strings.HasPrefix(said, "queued") {
			status = http.StatusAccepted
		}
		return answer(w, status, said, "")
	}
	return answer(w, http.StatusAccepted, said, string(j.ID))
}

func answer(w http.ResponseWriter, status int, message, job string) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct { // a client that is gone needs no answer
		Message string `json:"message"`
		Job     string `json:"job,omitempty"`
	}{message, job})
	return nil
}
