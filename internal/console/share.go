package console

import (
	"net/url"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/dialect/s3/link"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// shareObject makes a link and shows it. A key that can read nothing but this object, and ends with the link, signs it.
func (q *request) shareObject(name, key, version string) error {
	u := *q.URL
	u.RawQuery = url.Values{"key": {key}, "version": {version}}.Encode()
	q.URL = &u
	p, api, err := q.objectPage()
	if err != nil {
		return err
	}
	life, err := time.ParseDuration(q.PostForm.Get("for"))
	if err != nil {
		err = fail.Field("for", "%q is no length of time", q.PostForm.Get("for")).Then("choose one in the list")
	} else if err = link.Check(life); err == nil {
		p.Link, err = q.makeLink(link.Object{Bucket: name, Key: key, Version: version}, life)
	}
	if err != nil {
		return formError(err, func(e *fail.Error, status int) error {
			p.Err = e
			return q.showObject(p, api, native.StatusOf(err))
		})
	}
	return q.showObject(p, api, 200)
}

func (q *request) makeLink(o link.Object, life time.Duration) (*sharedLink, error) {
	from := login.From{Source: auth.Source(q.Request), Agent: q.UserAgent(), Dialect: "console", RequestID: q.reqID}
	keys, err := login.Temporary(q.Context(), q.Door, login.TemporaryRequest{From: from, By: q.who, Life: max(life, 15*time.Minute), Policy: link.Narrow(o)})
	if err != nil {
		return nil, err
	}
	base := "https://" + q.Host
	if q.TLS == nil && q.Header.Get("X-Forwarded-Proto") == "" {
		base = q.Console.URL
	}
	text, err := link.Make(base, q.Door.Region, link.Key{Access: keys.Access, Secret: keys.Secret, Token: keys.Token}, o, life)
	return &sharedLink{URL: text, Expires: q.Now().Add(life), By: q.who.UserName}, err
}
