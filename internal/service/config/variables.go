package config

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// Variables reads a content as variables: the lines NAME=VALUE of properties and of text, the top-level scalars of yaml.
// Lines that begin with # or ! are comments.
func Variables(typ, text string) (map[string]string, error) {
	if typ == "yaml" {
		return yamlVariables(text)
	}
	out := map[string]string{}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for n := 0; n < len(lines); n++ {
		line := strings.TrimLeft(lines[n], " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		first := n + 1
		for continued(line) && n+1 < len(lines) {
			n++
			line = line[:len(line)-1] + strings.TrimLeft(lines[n], " \t\f")
		}
		at := strings.IndexAny(line, "=:")
		if at <= 0 {
			return nil, fmt.Errorf("line %d is not NAME=VALUE", first)
		}
		out[strings.TrimSpace(line[:at])] = strings.TrimSpace(line[at+1:])
	}
	return out, nil
}

// continued tells whether a line ends with an odd number of backslashes.
func continued(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

func yamlVariables(text string) (map[string]string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, err
	}
	out := map[string]string{}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return out, nil
	}
	m := doc.Content[0].Content
	for i := 0; i+1 < len(m); i += 2 {
		if m[i+1].Kind == yaml.ScalarNode {
			out[m[i].Value] = m[i+1].Value
		}
	}
	return out, nil
}

// System are the variables that the cloud itself fills in where a content names them as ${NAME}. Any other ${…} stays as it
// is: it is the program's own.
type System struct {
	Project, Application, ApplicationID, Environment, EnvironmentID, Component, ComponentID, Instance string
	Release                                                                                           int
}

func (v System) values() map[string]string {
	release := itoa(v.Release)
	return map[string]string{
		"AWAN_PROJECT_ID": v.Project, "AWAN_APPLICATION": v.Application, "AWAN_ENVIRONMENT": v.Environment, "AWAN_COMPONENT": v.Component,
		"AWAN_COMPONENT_ID": v.ComponentID, "AWAN_INSTANCE_ID": v.Instance, "AWAN_RELEASE": release,
		// ServiceStage's names of the same.
		"CAS_APPLICATION_NAME": v.Application, "CAS_APPLICATION_ID": v.ApplicationID, "CAS_ENVIRONMENT_ID": v.EnvironmentID,
		"CAS_COMPONENT_NAME": v.Component, "CAS_INSTANCE_ID": v.Instance, "CAS_INSTANCE_VERSION": release, "CAS_PROJECT_ID": v.Project,
	}
}

// Fill replaces the system variables of a content.
func (v System) Fill(text string) string {
	if !strings.Contains(text, "${") {
		return text
	}
	var pairs []string
	for name, value := range v.values() {
		pairs = append(pairs, "${"+name+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
