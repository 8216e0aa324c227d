#![no_main]

nlpress_fuzz::target!(nlpress_fuzz::recipe::text);
