package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/kernel/kind"
)

func (s *session) schemaCmd() *cobra.Command {
	return &cobra.Command{Use: "schema", Short: "print the JSON schema of awan.yaml, for editors",
		Long:    "Print the JSON schema of awan.yaml. An editor that knows YAML schemas completes and checks the file with it.",
		Example: examples("awan schema > awan.schema.json", "# then, as the first line of awan.yaml:", "# yaml-language-server: $schema=awan.schema.json"), Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			doc := schemaOf(s.topFields())
			doc["$schema"], doc["title"] = "https://json-schema.org/draft/2020-12/schema", "awan.yaml"
			env := doc["properties"].(map[string]any)["environment"]
			doc["properties"].(map[string]any)["environment"] = map[string]any{"anyOf": []any{map[string]any{"type": "string"}, env}}
			b, err := json.MarshalIndent(doc, "", "  ")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(s.Stdout, string(b))
			return err
		}}
}

// schemaOf is the schema of an object with these fields.
func schemaOf(fields []kind.Field) map[string]any {
	props, required := map[string]any{}, []string{}
	for _, f := range fields {
		props[f.Name] = schemaField(f)
		if f.Required {
			required = append(required, f.Name)
		}
	}
	out := map[string]any{"type": "object", "properties": props, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

func schemaField(f kind.Field) map[string]any {
	out, size := map[string]any{}, ""
	switch f.Type {
	case kind.Object:
		out = schemaOf(f.Fields)
	case kind.ListOf:
		out["type"], out["items"], size = "array", schemaField(*f.Item), "Items"
	case kind.MapOf:
		out["type"], out["additionalProperties"], size = "object", schemaField(*f.Item), "Properties"
		if f.Item.Type == kind.String {
			out["additionalProperties"] = map[string]any{"type": []string{"string", "number", "boolean"}}
		}
	case kind.Integer, kind.Number, kind.Boolean:
		out["type"] = string(f.Type)
	default:
		out["type"], size = "string", "Length"
	}
	if f.Doc != "" {
		out["description"] = f.Doc
	}
	if len(f.Enum) > 0 {
		out["enum"] = f.Enum
	}
	if f.Pattern != "" {
		out["pattern"] = f.Pattern
	}
	if f.Type == kind.Duration {
		return out
	}
	low, high := "minimum", "maximum"
	if size != "" {
		low, high = "min"+size, "max"+size
	}
	if f.Min != nil {
		out[low] = *f.Min
	}
	if f.Max != nil {
		out[high] = *f.Max
	}
	return out
}
