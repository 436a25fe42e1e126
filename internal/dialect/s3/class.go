package s3

import (
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// classes are the storage classes by the names that clients of either dialect send.
var classes = map[string]string{
	"STANDARD": bucket.Standard, "REDUCED_REDUNDANCY": bucket.Standard,
	"STANDARD_IA": bucket.Warm, "ONEZONE_IA": bucket.Warm, "GLACIER_IR": bucket.Warm, "WARM": bucket.Warm,
	"GLACIER": bucket.Cold, "COLD": bucket.Cold,
	"DEEP_ARCHIVE": bucket.Deep, "INTELLIGENT_TIERING": bucket.Intelligent,
}

func classOf(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	if c, ok := classes[name]; ok {
		return c, nil
	}
	return "", refuse("InvalidStorageClass", fail.Invalid, "the storage class %q is not known here", name).
		Then("use STANDARD, STANDARD_IA (WARM), GLACIER (COLD), DEEP_ARCHIVE or INTELLIGENT_TIERING")
}

// className gives a class's name in the dialect.
func (r *request) className(class string) string {
	switch class {
	case bucket.Warm:
		if r.obs {
			return "WARM"
		}
		return "STANDARD_IA"
	case bucket.Cold:
		if r.obs {
			return "COLD"
		}
		return "GLACIER"
	case bucket.Deep:
		return "DEEP_ARCHIVE"
	case bucket.Intelligent:
		return "INTELLIGENT_TIERING"
	}
	return "STANDARD"
}
