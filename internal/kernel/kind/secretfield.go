package kind

import (
	"reflect"
	"strconv"
)

// Mask stands for a secret wherever one would be shown. Sent back in an update it means "as it was".
const Mask = "********"

// EachSecret calls fn for every value of the secret fields of the struct v points at (strings, and the values of maps
// of strings) and stores what it returns. path names the field, of lists whatever the item.
func EachSecret(v any, fields []Field, fn func(path, value string) (string, error)) error {
	return EachSecretAt(v, fields, func(path, _, value string) (string, error) { return fn(path, value) })
}

// EachSecretAt is EachSecret for who must tell the items of a list apart: at names an item by its id or name, and one that
// has neither by its place.
func EachSecretAt(v any, fields []Field, fn func(path, at, value string) (string, error)) error {
	return eachSecret(reflect.ValueOf(v).Elem(), "", "", fields, fn)
}

func eachSecret(v reflect.Value, path, at string, fields []Field, fn func(path, at, value string) (string, error)) error {
	for _, f := range fields {
		fv, p, a := v.FieldByIndex(f.index), join(path, f.Name), join(at, f.Name)
		switch {
		case f.Secret && fv.Kind() == reflect.String:
			if fv.String() == "" {
				continue
			}
			s, err := fn(p, a, fv.String())
			if err != nil {
				return err
			}
			fv.SetString(s)
		case f.Secret && fv.Kind() == reflect.Map:
			for _, k := range fv.MapKeys() {
				s, err := fn(p+"."+k.String(), a+"."+k.String(), fv.MapIndex(k).String())
				if err != nil {
					return err
				}
				fv.SetMapIndex(k, reflect.ValueOf(s).Convert(fv.Type().Elem()))
			}
		case f.Type == Object && fv.Kind() == reflect.Struct:
			if err := eachSecret(fv, p, a, f.Fields, fn); err != nil {
				return err
			}
		case f.Type == ListOf && f.Item.Type == Object:
			for i := range fv.Len() {
				if e := fv.Index(i); e.Kind() == reflect.Struct {
					if err := eachSecret(e, p, a+"["+itemKey(e, f.Item.Fields, i)+"]", f.Item.Fields, fn); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

func itemKey(e reflect.Value, fields []Field, i int) string {
	for _, f := range fields {
		if v := e.FieldByIndex(f.index); (f.Name == "id" || f.Name == "name") && v.Kind() == reflect.String && v.String() != "" {
			return strconv.Quote(v.String())
		}
	}
	return strconv.Itoa(i)
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
