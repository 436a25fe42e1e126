package native

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/kernel/kind"
)

// schema is a JSON Schema (2020-12) node, as OpenAPI 3.1 uses it.
type schema map[string]any

func (a *API) openapi(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, OpenAPI(a.Door.Kinds, a.Version))
}

// OpenAPI describes every route that comes from kinds, as an OpenAPI 3.1 document.
func OpenAPI(kinds []*kind.Def, version string) map[string]any {
	paths := map[string]map[string]any{}
	schemas := map[string]any{"Error": errorSchema(), "Meta": objectSchema(kind.FieldsOf(kind.Meta{})), "Job": schema{"type": "object",
		"description": "a long operation; poll " + Base + "/jobs/{id}"}}
	for _, k := range kinds {
		schemas[schemaName(k)] = schema{"allOf": []any{schema{"$ref": "#/components/schemas/Meta"},
			schema{"type": "object", "properties": schema{"spec": objectSchema(k.Spec), "status": objectSchema(k.Status)}}}}
	}
	for _, r := range Routes(kinds) {
		if paths[r.Path] == nil {
			paths[r.Path] = map[string]any{}
		}
		paths[r.Path][strings.ToLower(r.Method)] = operation(r)
	}
	return map[string]any{
		"openapi": "3.1.0",
		"info": schema{"title": "Awan", "version": version, "license": schema{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "Awan's native API. In paths, - stands for your own project or domain. Long operations answer 202 with a job."},
		"paths":    paths,
		"security": []any{schema{"token": []any{}}},
		"components": schema{"schemas": schemas, "securitySchemes": schema{
			"token": schema{"type": "http", "scheme": "bearer", "description": "a token from POST " + Base + "/login"}}},
	}
}

func schemaName(k *kind.Def) string { return k.Service + "." + k.Name }

func operation(r Route) schema {
	ref := schema{"$ref": "#/components/schemas/" + schemaName(r.Kind)}
	op := schema{"operationId": r.Kind.Desc.Action(r.Verb), "summary": r.Doc, "tags": []string{r.Kind.Service}, "parameters": parameters(r)}
	doc := schema{"type": "object", "properties": schema{"resource": ref, "job": schema{"$ref": "#/components/schemas/Job"}}}
	ok, media := "200", "application/json"
	switch r.Verb {
	case "list":
		doc = schema{"type": "object", "properties": schema{"items": schema{"type": "array", "items": ref}, "next": schema{"type": "string", "description": "marker of the next page"}}}
	case "create":
		ok = "201"
		op["requestBody"] = bodySchema(r.Kind, true)
	case "update":
		op["requestBody"] = bodySchema(r.Kind, false)
	case "events":
		doc = schema{"type": "object", "properties": schema{"items": schema{"type": "array", "items": schema{"type": "object"}}}}
	case "watch":
		media, doc = "application/x-ndjson", schema{"type": "object"}
	default:
		if act := r.Kind.ActionOf(r.Verb); act != nil {
			if len(act.In) > 0 {
				op["requestBody"] = content("application/json", objectSchema(act.In))
			}
			if act.Stream {
				media, doc = "application/x-ndjson", schema{"type": "object"}
			}
		}
	}
	op["responses"] = schema{
		ok:        schema{"description": "done", "content": schema{media: schema{"schema": doc}}},
		"202":     schema{"description": "accepted; the job goes on", "content": schema{"application/json": schema{"schema": doc}}},
		"default": schema{"description": "failed", "content": schema{"application/json": schema{"schema": schema{"$ref": "#/components/schemas/Error"}}}},
	}
	return op
}

func content(media string, s schema) schema {
	return schema{"required": true, "content": schema{media: schema{"schema": s}}}
}

func bodySchema(k *kind.Def, create bool) schema {
	spec := objectSchema(k.Spec)
	if !create {
		delete(spec, "required")
	}
	body := schema{"type": "object", "additionalProperties": false, "properties": schema{"name": schema{"type": "string"},
		"tags": schema{"type": "object", "additionalProperties": schema{"type": "string"}}, "spec": spec}}
	out := content("application/json", body)
	if create && len(k.Example) > 2 {
		var example any
		_ = json.Unmarshal(k.Example, &example)
		out["content"].(schema)["application/json"].(schema)["example"] = schema{"name": "example", "spec": example}
	}
	return out
}

// segments says what may stand in a path.
var segments = map[string]string{
	"{project}": "name or id; - is the credential's own; ACCOUNT:NAME is one of another account, for operators",
	"{domain}":  "name or id; - is the caller's own",
	"{id}":      "name or id",
}

func parameters(r Route) []any {
	var out []any
	for _, seg := range strings.Split(r.Path, "/") {
		if strings.HasPrefix(seg, "{") {
			p := schema{"name": strings.Trim(seg, "{}"), "in": "path", "required": true, "schema": schema{"type": "string"}}
			if doc := segments[seg]; doc != "" {
				p["description"] = doc
			}
			out = append(out, p)
		}
	}
	query := func(name, typ, doc string) {
		out = append(out, schema{"name": name, "in": "query", "description": doc, "schema": schema{"type": typ}})
	}
	switch r.Verb {
	case "list":
		query("limit", "integer", "rows of a page, at most 1000")
		query("marker", "string", "the next field of the page before")
		query("name", "string", "part of the name")
		query("state", "string", "only this state; trashed shows the trash")
		query("tag", "string", "key or key=value; may be repeated")
		for _, i := range r.Kind.IndexBy {
			query("by."+i, "string", "only those with this "+i)
		}
	case "create", "update":
		query("dry_run", "boolean", "check everything, change nothing")
	case "delete":
		query("purge", "boolean", "for good, without the trash")
		query("if_revision", "integer", "only when the row is at this revision")
	}
	if out == nil {
		out = []any{}
	}
	return out
}

func objectSchema(fields []kind.Field) schema {
	props, required := schema{}, []string{}
	for _, f := range fields {
		props[f.Name] = fieldSchema(f)
		if f.Required {
			required = append(required, f.Name)
		}
	}
	s := schema{"type": "object", "properties": props}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func fieldSchema(f kind.Field) schema {
	s := schema{}
	low, high := "", ""
	switch f.Type {
	case kind.String:
		s["type"], low, high = "string", "minLength", "maxLength"
	case kind.Integer:
		s["type"], low, high = "integer", "minimum", "maximum"
	case kind.Number:
		s["type"] = "number"
	case kind.Boolean:
		s["type"] = "boolean"
	case kind.Time:
		s["type"], s["format"] = "string", "date-time"
	case kind.Duration:
		s["type"], s["examples"] = "string", []string{"30s"}
	case kind.ListOf:
		s["type"], s["items"], low, high = "array", fieldSchema(*f.Item), "minItems", "maxItems"
	case kind.MapOf:
		s["type"], s["additionalProperties"], low, high = "object", fieldSchema(*f.Item), "minProperties", "maxProperties"
	case kind.Object:
		s = objectSchema(f.Fields)
	}
	if f.Min != nil && low != "" {
		s[low] = *f.Min
	}
	if f.Max != nil && high != "" {
		s[high] = *f.Max
	}
	if f.Doc != "" {
		s["description"] = f.Doc
		if f.Unit != "" {
			s["description"] = f.Doc + ", in " + f.Unit
		}
	}
	if len(f.Enum) > 0 {
		s["enum"] = f.Enum
	}
	if f.Pattern != "" {
		s["pattern"] = f.Pattern
	}
	if f.Default != "" {
		var v any = f.Default
		if f.Type == kind.Integer || f.Type == kind.Boolean || f.Type == kind.Number {
			_ = json.Unmarshal([]byte(f.Default), &v)
		}
		s["default"] = v
	}
	if f.Secret {
		s["writeOnly"] = true
	}
	return s
}

func errorSchema() schema {
	str := schema{"type": "string"}
	return schema{"type": "object", "properties": schema{"error": schema{"type": "object", "properties": schema{
		"kind": str, "field": str, "message": str, "next": str, "request_id": str}}}}
}
