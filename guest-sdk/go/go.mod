module millstream.example/millstream/guest-sdk/go

go 1.24
