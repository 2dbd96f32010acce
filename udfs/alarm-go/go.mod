module millstream.example/udfs/alarm

go 1.24

require millstream.example/millstream/guest-sdk/go v0.1.0

replace millstream.example/millstream/guest-sdk/go => ../../guest-sdk/go
