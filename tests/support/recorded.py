"""Frames as the last release that spoke only protocol 1 sent them, byte for byte."""

HELLO = b"\0\0\0-\x83\xa4type\xa5hello\xa7version\x92\x01\x00\xa7program\xadmetanas 0.1.0"
DESCRIBE = b"\0\0\0\x0f\x81\xa4type\xa8describe"
MEASURE = (
    b"\0\0\0\x8a\x84\xa4type\xa7measure\xa6layers\x91\xabempty/1x2x3\xa8settings\x86"
    b"\xa8interval\xcb?\x84z\xe1G\xae\x14{\xa9budget_ms\xcb@i\0\0\0\0\0\0\xabmin_samples\x0b"
    b"\xa9sample_ms\xcb?\xb9\x99\x99\x99\x99\x99\x9a\xa4core\xc0\xa4seed\x00"
    b"\xa7runtime\xa4onnx"
)
"""Of the layer empty/1x2x3, with the settings of `TimerSettings(core=None)`."""

REFUSAL = (
    b"\0\0\0\x98\x84\xa4type\xa5error\xa4code\xb0version-mismatch\xa4what\xd92the agent speaks "
    b"protocol 1.0, the host speaks 2.0\xa4hint\xd96upgrade the agent: pip install --upgrade "
    b"metanas-agent"
)
WELCOME = (
    b"\0\0\0F\x84\xa4type\xa7welcome\xa7version\x92\x01\x00\xa7program\xb3metanas-agent 0.1.0"
    b"\xa7limit_s\xcb@^\0\0\0\0\0\0"
)
DESCRIPTION = (
    b"\0\0\0\xa5\x89\xa4type\xabdescription\xa7machine\xa6x86_64\xa9processor\xa8AMD EPYC"
    b"\xa5cores\x02\xacmemory_bytes\xcf\0\0\0\x05\xe2\x98\xf0\x00\xa6system"
    b"\xb5Linux 6.18.44-fc-v657\xa8runtimes\x81\xa4onnx\xa61.31.1\xabunavailable\x80"
    b"\xadagent_version\xa50.1.0"
)
ROW = (
    b"\0\0\x01 \x82\xa4type\xa3row\xabmeasurement\xde\0\x12\xa3key\xabempty/1x2x3\xa9median_ms"
    b"\xcb?`\ny\xab\x92\x95o\xa6low_ms\xcb?_\xf3eg\xe3\xbf\x01\xa7high_ms\xcb?`\x1d\x03\x9b\xeb"
    b"\xd9X\xa6p10_ms\xcb?_\xf4&\xad\xe9\xb2\xb6\xa6p90_ms\xcb?`\x17\x19\xa2\x12\x8e\xf9"
    b"\xa7samples\x06\xa7repeats\x19\xa6source\xa8measured\xa7runtime\xa4onnx\xafruntime_version"
    b"\xa61.31.1\xb0clock_mhz_before\xc0\xafclock_mhz_after\xc0\xadtemperature_c\xc0\xa9throttled"
    b"\xc0\xa6method\x01\xa7verdict\xa7trusted\xa6reason\xa0"
)
"""Of the layer empty/1x2x3."""

DONE = b"\0\0\0\x0b\x81\xa4type\xa4done"
