// Package glance serves OpenStack's image API v2 (https://docs.openstack.org/api-ref/image/v2/) over the rows of service
// image: those of the project, those of the cloud, and those that other projects share. It may import the kernel,
// services' exported types and dialect/{front,wire,openstack/{rest,token}}.
package glance

import (
	"fmt"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/image"
)

// Service is how Glance is found.
var Service = rest.Service{Name: "glance", Prefix: "image", Type: "image"}

// Options are what the API stands on.
type Options struct {
	wire.Options
	Images *image.Service
}

// API serves the routes.
type API struct {
	*wire.API
	o Options
}

// New makes the API.
func New(o Options) *API {
	o.Dialect, o.Fail = rest.Dialect, codes.Writer(form)
	a := &API{API: wire.New(o.Options), o: o}
	a.Add(wire.Route{Method: "GET", Path: "/", Open: true, Do: func(x *rest.Exchange) error { return a.versions(x, http.StatusMultipleChoices) }})
	a.Add(wire.Route{Method: "GET", Path: "/versions", Open: true, Do: func(x *rest.Exchange) error { return a.versions(x, http.StatusOK) }})
	for _, r := range append(a.imageRoutes(), append(a.contentRoutes(), a.memberRoutes()...)...) {
		do := r.do
		a.Add(wire.Route{Method: r.method, Path: "/v2" + r.path, Kind: r.kind, Verb: r.verb, Do: func(x *rest.Exchange) error { return (&exchange{x, a}).guarded(r.kind, r.verb, do) }})
	}
	return a
}

type route struct {
	method, path string
	kind         *kind.Def
	verb         string
	do           func(*exchange) error
}

type exchange struct {
	*rest.Exchange
	api *API
}

// guarded lets nobody learn what is wrong with a request about an image that is hidden from them, or that they may not send.
func (x *exchange) guarded(k *kind.Def, verb string, do func(*exchange) error) error {
	err := do(x)
	if fail.Is(err, fail.Invalid) && x.Param("image_id") != "" {
		if _, absent := x.image(); fail.Is(absent, fail.NotFound) {
			return absent
		}
	}
	return rest.Guard(x.Exchange, k, verb, "", err)
}

// Behind is the API behind the listener. Images are as large as they are: their content is streamed.
func (a *API) Behind() front.Service { return Service.Behind(a.API, -1) }

func (a *API) versions(x *rest.Exchange, status int) error {
	var all []any
	for minor := 9; minor >= 0; minor-- {
		state := "SUPPORTED"
		if minor == 9 {
			state = "CURRENT"
		}
		all = append(all, map[string]any{"id": fmt.Sprintf("v2.%d", minor), "status": state, "links": []token.Link{{Rel: "self", Href: a.Base(x.R) + "/v2/"}}})
	}
	wire.Write(x.W, status, map[string]any{"versions": all})
	return nil
}

// codes: where Glance differs. What is protected or has the wrong state may not be changed.
var codes = rest.Codes{fail.Quota: http.StatusRequestEntityTooLarge, fail.Precondition: http.StatusForbidden}

// form is an error in Glance's form.
func form(w http.ResponseWriter, status int, e *fail.Error) {
	title := http.StatusText(status)
	wire.Write(w, status, map[string]any{"message": e.Public(), "code": fmt.Sprintf("%d %s", status, title), "title": title})
}

// what an image is to the caller.
type found struct {
	*image.Row
	of    *kind.Def    // Images or Public
	offer *image.Offer // another project's
}

func noImage(text string) error {
	return fail.New(fail.NotFound, "No image found with ID %s", text)
}

// image finds the image that the path names: of the project, of the cloud, or offered by another project.
func (x *exchange) image() (found, error) {
	text := x.Param("image_id")
	s := x.api.o.Images
	row, ok := id.Parse(text)
	if !ok {
		return found{}, noImage(text)
	}
	for _, t := range []kind.Table[image.Spec, image.Status]{s.Images, s.Public} {
		r, err := rest.Get(x.Exchange, t, text)
		if err == nil {
			return found{Row: r, of: t.D}, nil
		}
		if !fail.Is(err, fail.NotFound) {
			return found{}, err
		}
	}
	offers, _, err := wire.Rows(x.Exchange, s.Offers, "", kind.Filter{Index: "image", Value: string(row)})
	if err != nil || len(offers) == 0 {
		if fail.Is(err, fail.Denied) {
			return found{}, err
		}
		return found{}, noImage(text)
	}
	theirs, err := x.offered(offers[0])
	if err != nil || theirs == nil {
		return found{}, noImage(text)
	}
	return found{Row: theirs, of: s.Images.D, offer: offers[0]}, nil
}

// offered reads another project's image that is offered to the caller's: whoever may see the offer may see the image.
func (x *exchange) offered(o *image.Offer) (r *image.Row, err error) {
	err = x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) (err error) {
		r, err = x.api.o.Images.Get(tx, o.Spec.Image)
		return err
	})
	return r, err
}

// own finds an image that the caller may change: not another project's.
func (x *exchange) own() (found, error) {
	f, err := x.image()
	if err == nil && f.offer != nil {
		return found{}, fail.New(fail.Denied, "the image %s belongs to another project", f.Row.ID.Dashed())
	}
	return f, err
}

// send sends a call about an image through the door.
func (x *exchange) send(f found, verb string, edit func(*call.Call)) (*image.Row, error) {
	r, err := rest.Do(x.Exchange, f.of, verb, string(f.Row.ID), edit)
	if err != nil {
		return nil, err
	}
	if r.Row == nil {
		return nil, nil
	}
	return r.Row.(*image.Row), nil
}
