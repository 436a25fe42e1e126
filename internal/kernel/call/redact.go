package call

import (
	"encoding/json"

	"github.com/awancloud/awan/internal/kernel/kind"
)

// redacted is the request as the audit log keeps it: the body with every secret field masked, at most 8 KiB.
func redacted(c *Call) json.RawMessage {
	fields, body := c.Kind.Spec, c.Spec
	if a := c.Kind.ActionOf(c.Verb); a != nil {
		if a.Secret {
			return json.RawMessage(`"` + kind.Mask + `"`)
		}
		fields, body = a.In, c.In
	}
	if len(body) == 0 {
		return nil
	}
	var v any
	if json.Unmarshal(body, &v) != nil {
		return nil
	}
	b, err := json.Marshal(mask(v, fields))
	if err != nil || len(b) > 8<<10 {
		return nil
	}
	return b
}

func mask(v any, fields []kind.Field) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for _, f := range fields {
		x, there := m[f.Name]
		if !there {
			continue
		}
		switch {
		case f.Secret && f.Type == kind.MapOf:
			if inner, ok := x.(map[string]any); ok {
				for k := range inner {
					inner[k] = kind.Mask
				}
			}
		case f.Secret:
			m[f.Name] = kind.Mask
		case f.Type == kind.Object:
			m[f.Name] = mask(x, f.Fields)
		case f.Type == kind.ListOf && f.Item.Type == kind.Object:
			if l, ok := x.([]any); ok {
				for i := range l {
					l[i] = mask(l[i], f.Item.Fields)
				}
			}
		}
	}
	return m
}
