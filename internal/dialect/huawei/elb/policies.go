package elb

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

type policyBody struct {
	words
	Listener *string    `json:"listener_id"`
	Action   *string    `json:"action"`
	Priority *int       `json:"priority"`
	Pool     *string    `json:"redirect_pool_id"`
	To       *string    `json:"redirect_listener_id"`
	URL      *urlConfig `json:"redirect_url_config"`
	Fixed    *fixed     `json:"fixed_response_config"`
	Pools    []any      `json:"redirect_pools_config"`
	Extend   any        `json:"redirect_pools_extend_config"`
	Rules    []ruleBody `json:"rules"`
}

type urlConfig struct {
	Protocol string `json:"protocol"`
	Host     string `json:"host"`
	Port     string `json:"port"`
	Path     string `json:"path"`
	Query    string `json:"query"`
	Status   string `json:"status_code"`
	Insert   any    `json:"insert_headers_config,omitempty"`
	Remove   any    `json:"remove_headers_config,omitempty"`
}

type fixed struct {
	Status string `json:"status_code"`
	Type   string `json:"content_type"`
	Body   string `json:"message_body"`
	Insert any    `json:"insert_headers_config,omitempty"`
	Remove any    `json:"remove_headers_config,omitempty"`
	Limit  any    `json:"traffic_limit_config,omitempty"`
}

func actions() map[string]string {
	return map[string]string{"REDIRECT_TO_POOL": "pool", "REDIRECT_TO_LISTENER": "listener", "REDIRECT_TO_URL": "url", "FIXED_RESPONSE": "respond"}
}

func (a *API) policies() *resource {
	return &resource{d: a.b.Policy.D, path: "/l7policies", param: "l7policy_id", singular: "l7policy", plural: "l7policies", write: writePolicy, made: a.policyMade, view: a.policyView}
}

// unless gives a word of a redirect, "" where it stands for that of the request: ${host}.
func unless(word string) string {
	if strings.HasPrefix(word, "${") && strings.HasSuffix(word, "}") {
		return ""
	}
	return word
}

func number(field, text string) (int, error) {
	n, err := strconv.Atoi(text)
	if text != "" && err != nil {
		return 0, fail.Field(field, "%q is no number", text)
	}
	return n, nil
}

func writePolicy(_ *exchange, raw json.RawMessage, row kind.AnyRow, c *call.Call) (err error) {
	var b policyBody
	if err := decode(raw, &b); err != nil {
		return err
	}
	if err := first(refuse("redirect_pools_config", len(b.Pools) > 0), refuse("redirect_pools_extend_config", b.Extend != nil)); err != nil {
		return err
	}
	s := wire.Spec{}
	b.apply(c, s)
	if row == nil {
		wire.Set(s, "listener", b.Listener)
		if b.Action != nil {
			if s["action"] = actions()[*b.Action]; s["action"] == "" {
				return fail.Field("action", "%q is not one of REDIRECT_TO_POOL, REDIRECT_TO_LISTENER, REDIRECT_TO_URL and FIXED_RESPONSE", *b.Action)
			}
		}
	}
	wire.Set(s, "priority", b.Priority)
	wire.Set(s, "pool", b.Pool)
	wire.Set(s, "to_listener", b.To)
	if u := b.URL; u != nil {
		if err := first(refuse("redirect_url_config.insert_headers_config", u.Insert != nil), refuse("redirect_url_config.remove_headers_config", u.Remove != nil)); err != nil {
			return err
		}
		s["scheme"], s["host"], s["path"], s["query"] = strings.ToLower(unless(u.Protocol)), unless(u.Host), unless(u.Path), unless(u.Query)
		if s["port"], err = number("redirect_url_config.port", unless(u.Port)); err != nil {
			return err
		}
		if s["status"], err = number("redirect_url_config.status_code", u.Status); err != nil {
			return err
		}
	}
	if f := b.Fixed; f != nil {
		if err := first(refuse("fixed_response_config.insert_headers_config", f.Insert != nil), refuse("fixed_response_config.remove_headers_config", f.Remove != nil),
			refuse("fixed_response_config.traffic_limit_config", f.Limit != nil)); err != nil {
			return err
		}
		if s["status"], err = number("fixed_response_config.status_code", f.Status); err != nil {
			return err
		}
		s["body"] = f.Body
		if f.Type != "" {
			s["content_type"] = f.Type
		}
	}
	c.Spec = s.JSON()
	return nil
}

// policyMade makes the rules that came with a new policy.
func (a *API) policyMade(x *exchange, raw json.RawMessage, row kind.AnyRow) error {
	var b policyBody
	if err := decode(raw, &b); err != nil {
		return err
	}
	for i := range b.Rules {
		_, err := do(x, a.b.Rule.D, call.Create, "", func(c *call.Call) error { return b.Rules[i].put(c, string(row.M().ID)) })
		if err != nil {
			return err
		}
	}
	return nil
}

func or(word, name string) string {
	if word == "" {
		return "${" + name + "}"
	}
	return word
}

func (a *API) policyView(x *exchange, row kind.AnyRow) (map[string]any, error) {
	r := row.(*policyRow)
	v, sp := common(r), &r.Spec
	rules, err := under(x, a.b.Rule.D, "policy", string(r.ID))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]any{"description": sp.Description, "admin_state_up": !sp.Disabled, "listener_id": sp.Listener, "priority": sp.Priority, "position": 0,
		"redirect_pool_id": sp.Pool, "redirect_listener_id": sp.To, "rules": rules, "operating_status": "ONLINE"} {
		v[name] = value
	}
	for word, is := range actions() {
		if is == sp.Action {
			v["action"] = word
		}
	}
	switch sp.Action {
	case "url":
		port := ""
		if sp.Port != 0 {
			port = strconv.Itoa(sp.Port)
		}
		status := "302"
		if sp.Status != 0 {
			status = strconv.Itoa(sp.Status)
		}
		v["redirect_url_config"] = urlConfig{Protocol: or(strings.ToUpper(sp.Scheme), "protocol"), Host: or(sp.Host, "host"), Port: or(port, "port"), Path: or(sp.Path, "path"),
			Query: sp.Query, Status: status}
	case "respond":
		status := "200"
		if sp.Status != 0 {
			status = strconv.Itoa(sp.Status)
		}
		v["fixed_response_config"] = fixed{Status: status, Type: sp.ContentType, Body: sp.Body}
	}
	return v, nil
}

type ruleBody struct {
	words
	Type       *string     `json:"type"`
	Compare    *string     `json:"compare_type"`
	Key        *string     `json:"key"`
	Value      *string     `json:"value"`
	Invert     *bool       `json:"invert"`
	Conditions []condition `json:"conditions"`
}

type condition struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func ruleTypes() map[string]string {
	return map[string]string{"HOST_NAME": "host", "PATH": "path", "METHOD": "method", "HEADER": "header", "QUERY_STRING": "query", "COOKIE": "cookie", "SOURCE_IP": "source"}
}

func compares() map[string]string {
	return map[string]string{"EQUAL_TO": "equal", "STARTS_WITH": "prefix", "ENDS_WITH": "suffix", "CONTAINS": "contains", "REGEX": "regex"}
}

func (a *API) rules() *resource {
	return &resource{d: a.b.Rule.D, path: "/l7policies/{l7policy_id}/rules", param: "l7rule_id", singular: "rule", plural: "rules",
		write: func(x *exchange, raw json.RawMessage, row kind.AnyRow, c *call.Call) error {
			var b ruleBody
			if err := decode(raw, &b); err != nil {
				return err
			}
			policy := ""
			if row == nil {
				policy = x.Param("l7policy_id")
			}
			return b.put(c, policy)
		},
		in: func(x *exchange, r kind.AnyRow) bool { return r.(*ruleRow).Spec.Policy == x.Param("l7policy_id") },
		within: func(x *exchange) (kind.Filter, error) {
			p, err := get(x, a.b.Policy.D, x.Param("l7policy_id"))
			if err != nil {
				return kind.Filter{}, err
			}
			return kind.Filter{Index: "policy", Value: string(p.M().ID)}, nil
		},
		view: func(_ *exchange, r kind.AnyRow) (map[string]any, error) { return ruleView(r.(*ruleRow)), nil }}
}

// put writes a rule into a call; policy is told at its creation only. Values come alone or as conditions, whose keys are
// all the same, and go back as they came.
func (b *ruleBody) put(c *call.Call, policy string) error {
	s := wire.Spec{}
	b.apply(c, s)
	delete(s, "description")
	delete(s, "disabled")
	if policy != "" {
		s["policy"] = policy
		if b.Type != nil {
			if s["of"] = ruleTypes()[*b.Type]; s["of"] == "" {
				return fail.Field("type", "there are no rules of type %q", *b.Type).Then("use HOST_NAME, PATH, METHOD, HEADER, QUERY_STRING, COOKIE or SOURCE_IP")
			}
		}
	}
	if b.Compare != nil && *b.Compare != "" {
		if s["compare"] = compares()[*b.Compare]; s["compare"] == "" {
			return fail.Field("compare_type", "%q is not one of EQUAL_TO, STARTS_WITH, ENDS_WITH, CONTAINS and REGEX", *b.Compare)
		}
	}
	wire.Set(s, "invert", b.Invert)
	wire.Set(s, "key", b.Key)
	if len(b.Conditions) > 0 {
		values := []string{}
		for i, x := range b.Conditions {
			if x.Key != b.Conditions[0].Key {
				return fail.Field("conditions["+strconv.Itoa(i)+"].key", "the conditions of a rule have one key").Then("make a rule for each key")
			}
			values = append(values, x.Value)
		}
		s["values"], s["foreign"] = values, map[string]string{"form": "conditions"}
		if b.Conditions[0].Key != "" {
			s["key"] = b.Conditions[0].Key
		}
	} else if b.Value != nil && *b.Value != "" {
		s["values"], s["foreign"] = []string{*b.Value}, map[string]any{"form": "value"}
	}
	c.Spec = s.JSON()
	return nil
}

func ruleView(r *ruleRow) map[string]any {
	v, sp := common(r), &r.Spec
	v["key"], v["invert"], v["value"], v["conditions"], v["operating_status"] = sp.Key, sp.Invert, "", []condition{}, "ONLINE"
	for word, is := range ruleTypes() {
		if is == sp.Of {
			v["type"] = word
		}
	}
	for word, is := range compares() {
		if is == sp.Compare {
			v["compare_type"] = word
		}
	}
	if sp.Foreign["form"] == "value" && len(sp.Values) == 1 {
		v["value"] = sp.Values[0]
		return v
	}
	list := []condition{}
	for _, x := range sp.Values {
		list = append(list, condition{sp.Key, x})
	}
	v["conditions"] = list
	return v
}
