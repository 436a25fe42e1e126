package kind

import (
	"reflect"
)

// Mask stands for a secret wherever one would be shown. Sent back in an update it means "as it was".
const Mask = "********"

// EachSecret calls fn for every value of the secret fields of the struct v points at (strings, and the values of maps
// of strings) and stores what it returns.
func EachSecret(v any, fields []Field, fn func(path, value string) (string, error)) error {
	return eachSecret(reflect.ValueOf(v).Elem(), "", fields, fn)
}

func eachSecret(v reflect.Value, path string, fields []Field, fn func(path, value string) (string, error)) error {
	for _, f := range fields {
		fv, p := v.FieldByIndex(f.index), join(path, f.Name)
		switch {
		case f.Secret && fv.Kind() == reflect.String:
			if fv.String() == "" {
				continue
			}
			s, err := fn(p, fv.String())
			if err != nil {
				return err
			}
			fv.SetString(s)
		case f.Secret && fv.Kind() == reflect.Map:
			for _, k := range fv.MapKeys() {
				s, err := fn(p+"."+k.String(), fv.MapIndex(k).String())
				if err != nil {
					return err
				}
				fv.SetMapIndex(k, reflect.ValueOf(s).Convert(fv.Type().Elem()))
			}
		case f.Type == Object && fv.Kind() == reflect.Struct:
			if err := eachSecret(fv, p, f.Fields, fn); err != nil {
				return err
			}
		case f.Type == ListOf && f.Item.Type == Object:
			for i := range fv.Len() {
				if e := fv.Index(i); e.Kind() == reflect.Struct {
					if err := eachSecret(e, p, f.Item.Fields, fn); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// HasSecret tells whether any field, at any depth, is secret.
func HasSecret(fields []Field) bool {
	for _, f := range fields {
		if f.Secret || HasSecret(f.Fields) || f.Item != nil && (f.Item.Secret || HasSecret(f.Item.Fields)) {
			return true
		}
	}
	return false
}
