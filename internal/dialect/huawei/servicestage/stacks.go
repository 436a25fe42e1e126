package servicestage

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/app"
)

type stackRow = kind.Row[app.StackSpec, app.StackStatus]

func (a *API) stackRoutes() []route {
	k, all := a.App.CustomStack.D, base+"/runtimestacks"
	one := all + "/{runtimestack_id}"
	return []route{
		{Method: "POST", Path: all, Kind: k, Verb: call.Create, Do: a.createStack},
		{Method: "GET", Path: all, Kind: k, Verb: call.List, Do: a.listStacks},
		{Method: "POST", Path: all + "/action", Kind: k, Verb: "publish", Do: a.releaseStacks},
		{Method: "GET", Path: one, Kind: k, Verb: call.Get, Do: a.showStack},
		{Method: "PUT", Path: one, Kind: k, Verb: call.Update, Do: a.updateStack},
		{Method: "DELETE", Path: one, Kind: k, Verb: call.Delete, Do: a.deleteStack},
		{Method: "GET", Path: base + "/innerimages", Kind: k, Verb: call.List, Do: a.listInner},
	}
}

// baseImage is the one parameter of a stack's spec that means something here.
const baseImage = "base_image"

type stackBody struct {
	Name        *string `json:"name"`
	DeployMode  *string `json:"deploy_mode"`
	Type        *string `json:"type"`
	Version     *string `json:"version"`
	Description *string `json:"description"`
	Spec        *struct {
		SDK        string            `json:"sdk"`
		OS         string            `json:"os"`
		Parameters map[string]string `json:"parameters"`
	} `json:"spec"`
}

// stackTypes are ServiceStage's words for recipes whose own name is another.
func stackTypes() map[string]string {
	return map[string]string{"node": "Nodejs", "war": "Tomcat"}
}

// stackType is a recipe in this API's words.
func stackType(recipe string) string {
	if word := stackTypes()[recipe]; word != "" || recipe == "" {
		return word
	}
	return strings.ToUpper(recipe[:1]) + recipe[1:]
}

// recipeOf is the recipe that one of those words means.
func recipeOf(word string) string {
	for recipe, w := range stackTypes() {
		if strings.EqualFold(w, word) {
			return recipe
		}
	}
	return strings.ToLower(word)
}

func (b *stackBody) spec() (wire.Spec, error) {
	s := wire.Spec{}
	wire.Set(s, "version", b.Version)
	wire.Set(s, "description", b.Description)
	if b.Type != nil {
		recipe := recipeOf(*b.Type)
		if *b.Type != stackType(recipe) { // written otherwise it would come back changed
			return nil, fail.Field("type", "%q is no type of stack", *b.Type).Then("Java, Tomcat, Nodejs, Python, Php, Go, Static or Jar")
		}
		s["type"] = recipe
	}
	switch text(b.DeployMode) {
	case "", "container":
	case "virtualmachine":
		return nil, fail.New(fail.Unsupported, "deploy_mode: a stack of this cloud is an image that containers start from, not a package for virtual machines").
			Then(`use deploy_mode "container" and spec {"parameters": {"base_image": "NAME:TAG"}}`)
	default:
		return nil, fail.Field("deploy_mode", "%q is not container", *b.DeployMode)
	}
	if b.Spec == nil {
		return s, nil
	}
	for name, value := range b.Spec.Parameters {
		if name != baseImage {
			return nil, fail.Field("spec.parameters."+name, "means nothing here: a stack is a recipe over an image").Then("push an image with it to the registry and give spec.parameters.base_image")
		}
		s["base"] = imageName(value)
	}
	if b.Spec.SDK != "" || b.Spec.OS != "" {
		return nil, fail.Field("spec.sdk", "sdk and os mean nothing here: a stack is a recipe over an image").Then("give spec.parameters.base_image")
	}
	return s, nil
}

// used counts the components of each stack.
func (a *API) used(x *exchange) (map[string]int, error) {
	rows, _, err := wire.Rows(x, a.App.Component, "", kind.Filter{})
	n := map[string]int{}
	for _, r := range rows {
		n[r.Spec.Source.Stack]++
	}
	return n, err
}

func (a *API) stackView(r *stackRow, used map[string]int) map[string]any {
	status, system := "Supported", 0
	if r.Spec.Disabled || r.Spec.Unpublished {
		status = "Disable"
	}
	if r.Kind == a.App.Stack.D.FullName() {
		system = 1
	}
	return map[string]any{"id": r.ID, "name": r.Name, "project_id": r.Project, "deploy_mode": "container", "type": stackType(r.Spec.Type), "version": r.Spec.Version,
		"url": r.Spec.Base, "status": status, "system": system, "spec": map[string]any{"parameters": map[string]string{baseImage: r.Spec.Base}},
		"description": r.Spec.Description, "creator": r.CreatedBy, "create_time": stamp(r.Created), "update_time": stamp(r.Updated), "component_count": used[r.Name]}
}

// stacks are those a project may build with: its own, and the cloud's.
func (a *API) stacks(x *exchange) ([]*stackRow, error) {
	own, _, err := wire.Rows(x, a.App.CustomStack, "", kind.Filter{})
	if err != nil {
		return nil, err
	}
	shared, _, err := wire.Rows(x, a.App.Stack, "", kind.Filter{})
	return append(own, shared...), err
}

// stack finds one by its id, and the kind of its row.
func (a *API) stack(x *exchange, target string) (*stackRow, *kind.Def, error) {
	r, err := wire.Get(x, a.App.CustomStack, target)
	if fail.Is(err, fail.NotFound) {
		if shared, other := wire.Get(x, a.App.Stack, target); other == nil {
			return shared, a.App.Stack.D, nil
		}
	}
	return r, a.App.CustomStack.D, err
}

func (a *API) writeStack(x *exchange, verb, target string, k *kind.Def) error {
	var b stackBody
	if err := body(x, &b); err != nil {
		return err
	}
	s, err := b.spec()
	if err != nil {
		return err
	}
	if verb == call.Create {
		if s["base"] == nil {
			return fail.Field("spec.parameters.base_image", "is required").Then("name an image of the project's registry that the recipe starts from: NAME:TAG")
		}
		s["unpublished"] = true // as ServiceStage's: it is released by an action of its own
	}
	row, err := x.Do(k, verb, target, func(c *call.Call) { c.Name, c.Spec = b.Name, s.JSON() })
	if err != nil {
		return err
	}
	used, err := a.used(x)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, a.stackView(row.(*stackRow), used))
	return nil
}

func (a *API) createStack(x *exchange) error {
	if err := a.may(x, a.App.CustomStack.D, call.Create, "*"); err != nil {
		return err
	}
	return a.writeStack(x, call.Create, "", a.App.CustomStack.D)
}

func (a *API) updateStack(x *exchange) error {
	r, k, err := a.stack(x, x.Param("runtimestack_id"))
	if err != nil {
		return err
	}
	if err := a.may(x, k, call.Update, string(r.ID)); err != nil {
		return err
	}
	return a.writeStack(x, call.Update, string(r.ID), k)
}

func (a *API) deleteStack(x *exchange) error {
	r, k, err := a.stack(x, x.Param("runtimestack_id"))
	if err != nil {
		return err
	}
	if _, err := x.Do(k, call.Delete, string(r.ID), nil); err != nil {
		return err
	}
	return x.NoContent()
}

func (a *API) showStack(x *exchange) error {
	r, _, err := a.stack(x, x.Param("runtimestack_id"))
	if err != nil {
		return err
	}
	used, err := a.used(x)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, a.stackView(r, used))
	return nil
}

func (a *API) listStacks(x *exchange) error {
	rows, err := a.stacks(x)
	if err != nil {
		return err
	}
	used, err := a.used(x)
	if err != nil {
		return err
	}
	items := make([]map[string]any, len(rows))
	for i, r := range rows {
		items[i] = a.stackView(r, used)
	}
	return answer(x, "runtime_stacks", items)
}

// listInner lists the images that the cloud's own stacks start from.
func (a *API) listInner(x *exchange) error {
	rows, err := a.stacks(x)
	if err != nil {
		return err
	}
	items := []map[string]any{}
	for _, r := range rows {
		if r.Kind == a.App.Stack.D.FullName() && !r.Spec.Disabled && !r.Spec.Unpublished {
			items = append(items, map[string]any{"type": stackType(r.Spec.Type), "url": r.Spec.Base, "name": r.Name, "version": r.Spec.Version})
		}
	}
	return answer(x, "runtime_stacks", items)
}

// releaseStacks publishes stacks, or takes that back.
func (a *API) releaseStacks(x *exchange) error {
	if err := a.may(x, a.App.CustomStack.D, "publish", "*"); err != nil {
		return err
	}
	var b struct {
		Action     string `json:"action"`
		Parameters struct {
			Stacks []refer `json:"runtimestacks"`
		} `json:"parameters"`
	}
	if err := body(x, &b); err != nil {
		return err
	}
	verb := map[string]string{"Supported": "publish", "Disable": "unpublish"}[b.Action]
	if verb == "" {
		return fail.Field("action", "%q is neither Supported (release) nor Disable (take the release back)", b.Action)
	}
	found, kinds := make([]*stackRow, len(b.Parameters.Stacks)), make([]*kind.Def, len(b.Parameters.Stacks))
	for i, ref := range b.Parameters.Stacks {
		var err error
		if found[i], kinds[i], err = a.stack(x, ref.ID); err != nil {
			return err
		}
	}
	for i, r := range found {
		if _, err := x.Do(kinds[i], verb, string(r.ID), nil); err != nil {
			return err
		}
	}
	return x.NoContent()
}
