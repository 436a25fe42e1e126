package servicestage

import (
	"cmp"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/config"
)

// storage is something that instances see as files.
type storage struct {
	Type       string            `json:"type"` // ConfigMap, Secret, EmptyDir
	Name       string            `json:"name"`
	Parameters storageParameters `json:"parameters"`
	Mounts     []storageMount    `json:"mounts"`
}

type storageParameters struct {
	Name string `json:"name"` // of the config or secret; without it the storage's own
}

type storageMount struct {
	Path    string `json:"path"`
	SubPath string `json:"sub_path"`
}

// mounts turns storages into what the app service mounts. A path is a folder in which files lie under their names; with
// a sub_path it is the one file itself.
func (b *componentBody) mounts() ([]config.Mount, error) {
	out := []config.Mount{}
	for i, st := range *b.Storages {
		field, name := "storages["+itoa(i)+"]", cmp.Or(st.Parameters.Name, st.Name)
		switch st.Type {
		case "EmptyDir": // what an instance writes goes with it: so does its own layer
			continue
		case "ConfigMap", "Secret":
		default:
			return nil, fail.Field(field+".type", "%s cannot be mounted here", st.Type).
				Then("use ConfigMap or Secret for what programs read, EmptyDir for what they may lose, a bucket or a database for what must last")
		}
		if len(st.Mounts) == 0 {
			return nil, fail.Field(field+".mounts", "is required").Then(`give [{"path": "/etc/app"}]`)
		}
		for j, at := range st.Mounts {
			if !strings.HasPrefix(at.Path, "/") {
				return nil, fail.Field(field+".mounts["+itoa(j)+"].path", "%q does not begin with /", at.Path)
			}
			m := config.Mount{Config: name, Path: at.Path}
			switch {
			case st.Type == "Secret":
				m = config.Mount{Secret: name, Path: at.Path, Key: at.SubPath}
			case at.SubPath == "":
				m.Path = strings.TrimSuffix(at.Path, "/") + "/" + name
			case at.SubPath != name:
				return nil, fail.Field(field+".mounts["+itoa(j)+"].sub_path", "config %s is one file, %q is not in it", name, at.SubPath).Then("write its name, %s, or leave sub_path out", name)
			}
			m.As, m.Reload = "file", "roll"
			out = append(out, m)
		}
	}
	return out, nil
}
