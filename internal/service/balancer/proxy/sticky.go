package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// OurCookie is the name of the cookie that keeps clients with a member.
const OurCookie = "AWANSTICK"

// maxApps bounds how many values of apps' cookies one pool remembers.
const maxApps = 50_000

// stuck is where the one with an app's cookie belongs.
type stuck struct {
	member id.ID
	until  time.Time
}

// cookieValue names a member without telling who it is.
func cookieValue(m id.ID) string {
	sum := sha256.Sum256([]byte("member " + m))
	return hex.EncodeToString(sum[:12])
}

// clientOf reads what the choice of a member needs.
func (c *Pool) clientOf(r *http.Request) client {
	out := client{from: source(r)}
	name := OurCookie
	if c.Sticky == StickAppCookie {
		name = c.Cookie
	}
	if c.Sticky == StickCookie || c.Sticky == StickAppCookie {
		if k, err := r.Cookie(name); err == nil {
			out.cookie, out.app = k.Value, k.Value
		}
	}
	return out
}

// stick makes the client come back to the member that answered.
func (p *pool) stick(m *member, r *http.Request, resp *http.Response) {
	cfg := p.cfg.Load()
	switch cfg.Sticky {
	case StickCookie:
		if k, err := r.Cookie(OurCookie); err == nil && k.Value == m.name {
			return
		}
		c := http.Cookie{Name: OurCookie, Value: m.name, Path: "/", MaxAge: int(cfg.StickFor / time.Second), HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil}
		resp.Header.Add("Set-Cookie", c.String())
	case StickAppCookie:
		for _, c := range resp.Cookies() {
			if c.Name == cfg.Cookie && c.Value != "" {
				p.remember(c.Value, m.id, cfg.StickFor)
			}
		}
	}
}

func (p *pool) remember(value string, m id.ID, span time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if len(p.apps) >= maxApps {
		for v, s := range p.apps {
			if now.After(s.until) || len(p.apps) >= maxApps { // the old ones, and any if there are none
				delete(p.apps, v)
			}
		}
	}
	if p.apps == nil {
		p.apps = map[string]stuck{}
	}
	p.apps[value] = stuck{m, now.Add(span)}
}
